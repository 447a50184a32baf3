"""`python -m isotp`: the command, and `doctor`, which works also where files of can-isotp are in the way."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["doctor"]:
        from isotp._doctor import doctor

        sys.exit(doctor(sys.argv[2:]))
    from isotp.cli import main

    main()
