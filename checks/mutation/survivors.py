"""The changes of the core that no test notices, and why that is so: mostly since nothing could notice them."""

# A change is named by its line before and after it.
# ruff: noqa: E501

NO_MEMORY = "happens only where malloc() fails, which no test has it do"
NOT_ASKED = "the result is asked only after an error, and there is none"
NOT_CALLED = "the engine calls it only in the states in which something is to be sent"
SAME_NUMBER = "decode_n_pci() gave the same number"
NO_PAYLOAD = "nobody looks for a payload in a flow control frame"
BUFFER_GROWS = "the buffer grows more often: that is slower, and nothing else"
SHORT_WAY = "the short way is taken less often, and the long one decides alike"
NO_LOOK = "nobody looks at an interruption after a timeout"
SET_ALREADY = "receive(), which gave the frame, has set it"
ONLY_RAISES = "only an exception is looked at"
BOUND_AS_IT_BEGINS = "a message is bound to what is in force as it begins"
NO_BYTES = "nothing happens to no bytes"
ZERO_ALREADY = "who calls it has the memory zeroed already"
RING = "an empty ring may begin anywhere"
BELOW_0 = "any number below 0 stands for the session's own address"
ANOTHER_EPOCH = "it is another one, and nothing else is asked of it"
NOTHING_WAITS = "to flush a port in which nothing waits does nothing"

SURVIVORS: dict[str, str] = {
    "receiver_reserve: return False -> return True": NO_MEMORY,
    "receiver_append: return False -> return True": NO_MEMORY,
    "receive_ff: outcome.code = OUT_OF_MEMORY -> (left out)": NO_MEMORY,
    "receive_ff: outcome.given = pci.length -> (left out) (2)": NO_MEMORY,
    "receive_cf: receiver_stop(rx) -> (left out) (2)": NO_MEMORY,
    "receive_cf: outcome.code = OUT_OF_MEMORY -> (left out)": NO_MEMORY,
    "receive_cf: outcome.given = rx.size -> (left out)": NO_MEMORY,
    "rate_grow: return False -> return True": NO_MEMORY,
    "next_cfs: return 0 -> return 1": "the bulk path asks only while a message is received",
    "begin_message: tx.epoch += 1 -> tx.epoch += (1 + 1)": ANOTHER_EPOCH,
    "transmitter_init: memset(tx, 0, sizeof(Transmitter)) -> (left out)": ZERO_ALREADY,
    "receiver_init: memset(rx, 0, sizeof(Receiver)) -> (left out)": ZERO_ALREADY,
    "transmitter_stop: tx.epoch += 1 -> tx.epoch += (1 + 1)": ANOTHER_EPOCH,
    "transmitter_stop: tx.chunk = NULL -> (left out)": "no bytes of it are left, so none are read",
    "transmit: if tx.state == TX_IDLE or tx.state == TX_WAIT_FC: -> if tx.state == TX_IDLE and tx.state == TX_WAIT_FC:": NOT_CALLED,
    "transmit: return False -> return True": NOT_CALLED,
    "transmit: return False -> return True (2)": NOT_CALLED,
    "on_flow_control: return False -> return True (2)": "no message is active: the error is reported in the same way",
    "on_flow_control: return False -> return True (3)": NOT_ASKED,
    "on_flow_control: return False -> return True (6)": NOT_ASKED,
    "on_flow_control: return False -> return True (7)": NOT_ASKED,
    "on_flow_control: outcome.given = pci.flow_status -> (left out)": SAME_NUMBER,
    "on_flow_control: outcome.given = pci.flow_status -> (left out) (3)": SAME_NUMBER,
    "rate_allowed_bytes: if not free_bits > 0: -> if not free_bits > (0 + 1):": "a bit is no byte: 0 all the same",
    "rate_allowed_bytes: if not free_bits > 0: -> if not free_bits >= 0:": "no bits are no bytes: 0 all the same",
    "transmitter_expired: outcome.interruption = OK -> (left out)": NO_LOOK,
    "on_flow_control: outcome.interruption = OK -> (left out)": SET_ALREADY,
    "on_flow_control: outcome.code = OK -> (left out)": SET_ALREADY,
    "receiver_expired: outcome.interruption = OK -> (left out)": NO_LOOK,
    "receive: outcome.given = < uint64_t > size -> (left out) (2)": SAME_NUMBER,
    "lone_sf: if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size <= offset: -> if rx.state != RX_IDLE or size >= CAN_DLEN_MAX or size <= offset:": SHORT_WAY,
    "lone_sf: if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size <= offset: -> if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size > offset:": SHORT_WAY,
    "lone_sf: if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size <= offset: -> if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size < offset:": "no length is small enough for a frame without any",
    "lone_sf: if size > CAN_DLEN_CLASSIC: -> if size >= CAN_DLEN_CLASSIC:": SHORT_WAY,
    "lone_sf: if data[offset - 1] > size - offset: -> if data[offset - 1] >= size - offset:": SHORT_WAY,
    "next_cfs: if rx.state != RX_WAIT_CF or rx.size <= rx.got: -> if rx.state != RX_WAIT_CF or rx.size > rx.got:": SHORT_WAY,
    "next_cfs: if rx.state != RX_WAIT_CF or rx.size <= rx.got: -> if rx.state == RX_WAIT_CF or rx.size <= rx.got:": SHORT_WAY,
    "next_cfs: if rx.state != RX_WAIT_CF or rx.size <= rx.got: -> if rx.state != RX_WAIT_CF or rx.size < rx.got:": "a message that has all its bytes is no more received",
    "next_cfs: if rx.state != RX_WAIT_CF or rx.size <= rx.got: -> if rx.state != RX_WAIT_CF and rx.size <= rx.got:": "the bulk path asks only while a message is received",
    "next_cfs: return min(rx.size - rx.got - 1, rx.capacity - (rx.got - rx.taken)) // payload -> return min(rx.size - rx.got - 1, rx.capacity - (rx.got + rx.taken)) // payload": "the bulk path takes nothing out of a buffer before the end",
    "begin_next: return False -> return True": "the loop finds no message, and asks the queue once more",
    "note_if_held_back: self.held_back = session_rate_size(& self.session) > allowed -> self.held_back = session_rate_size(& self.session) >= allowed": "a frame for which there is just enough is sent",
    "take_bytes: if (event == RX_NOTHING and not self.target.is_there() and self.session.outcome.code == OK and self.session.outcome.interruption == OK): -> if (event == RX_NOTHING and not self.target.is_there() and self.session.outcome.code == OK and self.session.outcome.interruption != OK):": "what is left out when there is nothing to do does nothing",
    "take_bytes: if self.session.further_count == 0 and not self.session.looks_closer: -> if self.session.further_count == 0 and self.session.looks_closer:": SHORT_WAY,
    "receive_frame: engine.session.matched = - 1 -> engine.session.matched = - (1 + 1)": BELOW_0,
    "copy_payload: elif size == 63: -> elif size == (63 + 1):": "63 bytes go the common way, and no frame has 64 of payload",
    "copy_payload: elif size > 0: -> elif size >= 0:": NO_BYTES,
    "close_frame: if size > used: -> if size >= used:": NO_BYTES,
    "rate_window_init: window.window_ns = < int64_t > (min(seconds, 1e9) * 1e9) -> window.window_ns = < int64_t > (min(seconds, (1e9 + 1)) * 1e9)": "no window of thirty years ends",
    "rate_window_init: window.first = 0 -> window.first = (0 + 1)": RING,
    "rate_window_init: window.first = 0 -> (left out)": RING,
    "session_init: memset(session, 0, sizeof(Session)) -> (left out)": "the memory of a new object of Python is all zero",
    "session_init: session.matched = - 1 -> session.matched = - (1 + 1)": BELOW_0,
    "session_init: session.matched = - 1 -> (left out)": "it is asked for a frame at hand, and set for each",
    "session_init: session.tx_address = & session.address -> (left out)": "session_use_address() sets it before anything is sent",
    "session_init: session.rx_address = & session.address -> (left out)": "session_use_address() sets it before anything is received",
    "session_set: elif session.tx.state != TX_IDLE and tx_dl != new.tx_dl: -> elif session.tx.state != TX_IDLE or tx_dl != new.tx_dl:": BOUND_AS_IT_BEGINS,
    "still_bound: if not is_active or same_address(bound, new): -> if not is_active and same_address(bound, new):": BOUND_AS_IT_BEGINS,
    "session_judge: session.matched = - 1 -> session.matched = - (1 + 1)": BELOW_0,
    "take: return 0 -> return 1": ONLY_RAISES,
    "take_bytes: return 0 -> return 1": ONLY_RAISES,
    "take_bytes: return 0 -> return 1 (2)": ONLY_RAISES,
    "take_bytes: return 0 -> return 1 (3)": ONLY_RAISES,
    "take_from_batch: return 0 -> return 1": ONLY_RAISES,
    "flush: return 0 -> return 1": ONLY_RAISES,
    "follow: if event == RX_MESSAGE and payload is not None: -> if event == RX_MESSAGE or payload is not None:": "a message has no payload only if another thread stops the reception between two looks at its target",
    "receive_pass: if (self.turned != TURN_NONE or self.inlet.left <= 0) and self.has_turned(is_driven): -> if (self.turned == TURN_NONE or self.inlet.left <= 0) and self.has_turned(is_driven):": "a stop empties the batch, too: they differ only if another thread stops the layer just before it is given one",
    "receive_pass: if (self.turned != TURN_NONE or self.inlet.left <= 0) and self.has_turned(is_driven): -> if (self.turned != TURN_NONE or self.inlet.left <= (0 + 1)) and self.has_turned(is_driven):": "one look more, before the last frame of a batch, finds nothing",
    "give_frame: if outlet.port.waiting > 0 and (at_once or engine.session.tx.sent + engine.session.tx.in_frame >= engine.session.tx.size): -> if outlet.port.waiting >= 0 and (at_once or engine.session.tx.sent + engine.session.tx.in_frame >= engine.session.tx.size):": NOTHING_WAITS,
    "transmit_pass: if engine.outlet.port.waiting > 0 and engine.outlet.resumes == NEVER: -> if engine.outlet.port.waiting >= 0 and engine.outlet.resumes == NEVER:": NOTHING_WAITS,
    "transmit_frames: allowed = 0xFFFFFFFF -> allowed = (0xFFFFFFFF + 1)": "no frame has so many bytes",
    "supply_next: if have < wanted: -> if have <= wanted:": "a copy is made that nobody uses",
    "planned: if not longest_ns < < double > LONGEST_WAIT_NS: -> if not longest_ns <= < double > LONGEST_WAIT_NS:": "it becomes what it is",
    "bind_sending: session_look_closer_if_needed(session) -> (left out)": SHORT_WAY,
    "put_back: self.weight += weight_of(item) -> (left out)": "nobody asks how much the frames weigh that wait",
    "rest: self.refused_epoch = epoch -> (left out)": "after a burst no frame waits that could be forgotten",
    "decode_n_pci: pci.offset = prefix + 3 -> pci.offset = prefix - 3": NO_PAYLOAD,
    "decode_n_pci: pci.offset = prefix + 3 -> pci.offset = prefix + (3 + 1)": NO_PAYLOAD,
    "decode_n_pci: pci.offset = prefix + 3 -> (left out)": NO_PAYLOAD,
    "check_strictly: outcome.given = < uint64_t > size -> (left out)": SAME_NUMBER,
    "check_strictly: if size != rx.rx_dl and (size > rx.rx_dl or FD_LENGTH[size] != size or < uint64_t > (size - pci.offset) < left): -> if size != rx.rx_dl and (size >= rx.rx_dl or FD_LENGTH[size] != size or < uint64_t > (size - pci.offset) < left):": "that they are not equal was asked before",
    "receiver_reserve: if needed <= rx.capacity: -> if needed < rx.capacity:": BUFFER_GROWS,
    "receiver_reserve: if capacity < BUFFER_FIRST: -> if capacity >= BUFFER_FIRST:": BUFFER_GROWS,
    "receiver_reserve: if capacity < needed: -> if capacity >= needed:": BUFFER_GROWS,
    "receiver_reserve: rx.capacity = capacity -> (left out)": BUFFER_GROWS,
    "receive_ff: outcome.given = < uint64_t > size -> (left out)": SAME_NUMBER,
    "receive_ff: if rx.capacity > BUFFER_KEPT: -> if rx.capacity >= BUFFER_KEPT:": "whether a buffer of just this size is kept is of no meaning",
    "session_takes_cf: taken = receive_next_cf(& session.rx, & session.config, session.address.rx_prefix_size, data, < int > min(size, INT_MAX), now) -> taken = receive_next_cf(& session.rx, & session.config, session.address.rx_prefix_size, data, < int > max(size, INT_MAX), now)": SHORT_WAY,
    "_not_before: if self.window.count > 0 and size > rate_allowed_bytes(& self.window): -> if self.window.count >= 0 and size > rate_allowed_bytes(& self.window):": "the parameters have it that an empty window has room for a frame",
    "fill_target: if rx.got - rx.taken <= < uint64_t > (BUFFER_FIRST - CAN_DLEN_MAX): -> if rx.got - rx.taken < < uint64_t > (BUFFER_FIRST - CAN_DLEN_MAX):": "whether a buffer is emptied that just holds a further frame is of no meaning",
    "next_bytes: while < uint64_t > len(have) < wanted: -> while < uint64_t > len(have) <= wanted:": "a file is read a frame earlier",
    "receive_next_cf: if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)): -> if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + (1 + 1) < config.blocksize)):": SHORT_WAY,
    "receive_next_cf: if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)): -> if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 and rx.in_block + 1 < config.blocksize)):": SHORT_WAY,
    "receive_next_cf: if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)): -> if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen and config.blocksize == 0 or rx.in_block + 1 < config.blocksize)):": SHORT_WAY,
    "receive_next_cf: if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload > rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)): -> if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data) or rx.got + payload >= rx.size or kept + payload >= rx.capacity or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)):": SHORT_WAY,
    "_read_on: self.wake_ns = 0 -> self.wake_ns = (0 + 1)": "no deadline is so early, either",
}
