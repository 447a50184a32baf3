"""Log files of CAN in, frame records and messages out.

>>> with isotp.capture.open("drive.blf.gz") as log:
...     for records in log:
...         ...
"""

from isotp.capture._capture import Capture, open
from isotp.capture._channels import Channels
from isotp.capture._decode import Decoded, Decoding, decode, decode_all
from isotp.capture._formats import FORMATS
from isotp.capture._merge import Merged, merge
from isotp.capture._reading import Problem
from isotp.capture._recognise import UnknownFormatError

__all__ = [
    "FORMATS",
    "Capture",
    "Channels",
    "Decoded",
    "Decoding",
    "Merged",
    "Problem",
    "UnknownFormatError",
    "decode",
    "decode_all",
    "merge",
    "open",
]
