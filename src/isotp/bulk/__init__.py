"""Many frames at once: records in, a table of messages out; payloads in, records out; and which sessions a log has.

Callers find what is public here in `isotp`, `isotp.discovery` and `isotp.message`.
"""
