"""Where frames come from and go to: the buses of python-can, its notifiers, and how a thread waits for them."""
