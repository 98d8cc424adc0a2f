"""What a board prints that is no packet: when it boots, and when its program crashes."""

from __future__ import annotations

#: As the ROM and the second-stage loader of an ESP32 print it at 115,200 baud (ESP-IDF Programming
#: Guide, "Application Startup Flow"), shortened.
BANNER = (
    b"ets Jul 29 2019 12:21:46\r\n\r\n"
    b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"configsip: 0, SPIWP:0xee\r\n"
    b"mode:DIO, clock div:1\r\n"
    b"load:0x3fff0030,len:1344\r\n"
    b"entry 0x400805f0\r\n"
)
#: As the panic handler prints it (ESP-IDF Programming Guide, "Fatal Errors"), shortened.
PANIC = (
    b"\r\nGuru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    b"\r\nCore  1 register dump:\r\n"
    b"PC      : 0x400d1b36  PS      : 0x00060730  A0      : 0x800d2ca9  A1      : 0x3ffb2730\r\n"
    b"EXCVADDR: 0x00000000  LBEG    : 0x4000c2e0  LEND    : 0x4000c2f6  LCOUNT  : 0xffffffff\r\n"
    b"\r\nBacktrace: 0x400d1b33:0x3ffb2730 0x400d2ca6:0x3ffb2750 0x40088b7d:0x3ffb2770\r\n"
    b"\r\nRebooting...\r\n"
)
