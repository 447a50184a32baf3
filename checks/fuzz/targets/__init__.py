"""What the fuzzer calls with each input, a module for each harness: `one_input(data)`.

An exception that is not foreseen, a broken promise, a report of a sanitizer, 25 seconds or too much memory: a finding.
"""
