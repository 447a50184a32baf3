# The protocol (ISO 15765-2): N_PCI coding, one step of reception, one step of transmission, the rate window.
#
# Pure C value machines: time is an argument; nothing here reads a clock, locks, logs or knows Python. Every function is
# total: each byte pattern has a defined outcome. All of it is inline, so that the compiler can put the steps into the
# loops of the modules that run them.
