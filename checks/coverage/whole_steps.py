"""pytest plugin for builds with line tracing: threads take turns seldom.

A line that reports itself may hand over to another thread in the middle of what is one step of the compiled
code otherwise, which the threaded tests rightly do not expect.
"""

import sys

sys.setswitchinterval(0.5)
