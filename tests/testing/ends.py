"""The two ends that most of these tests have on a wire."""

import isotp

TESTER = isotp.Address(txid=0x7E0, rxid=0x7E8)
ECU = TESTER.reversed()
