"""Writes NASDAQ TotalView-ITCH 5.0 messages, for tests.

From the specification, with `struct` alone. A message is bytes without its
length; `frame` puts the lengths before. Prices are in 1/10000 dollar, times in
nanoseconds since midnight. Below are a stock and its book by hand.
"""

import struct

OPEN = (9 * 60 + 30) * 60 * 10**9
NAME = "01302020.NASDAQ_ITCH50"
STOCK, LOCATE = "AAA", 17
DOLLAR = 10_000


def _message(letter, locate, time, layout, *fields):
  head = struct.pack(">sHH", letter, locate, 0) + time.to_bytes(6, "big")
  return head + struct.pack(">" + layout, *fields)


def _stock(name):
  return name.ljust(8).encode()


def event(time, code=b"O"):
  return _message(b"S", 0, time, "s", code)


def directory(locate, time, stock):
  terms = (b"Q", b"N", 100, b"N", b"C", b"Z ", b"P", b"N", b"N", b"1", b"N")
  layout = "8sssIss2ssssssIs"
  return _message(b"R", locate, time, layout, _stock(stock), *terms, 0, b"N")


def action(locate, time, stock, state):
  return _message(
    b"H", locate, time, "8sss4s", _stock(stock), state, b" ", b"    "
  )


def add(locate, time, reference, side, shares, stock, price):
  fields = (reference, side, shares, _stock(stock), price)
  return _message(b"A", locate, time, "QsI8sI", *fields)


def add_of_firm(locate, time, reference, side, shares, stock, price):
  fields = (reference, side, shares, _stock(stock), price, b"FIRM")
  return _message(b"F", locate, time, "QsI8sI4s", *fields)


def execute(locate, time, reference, shares):
  return _message(b"E", locate, time, "QIQ", reference, shares, 9)


def execute_at(locate, time, reference, shares, price, printable=b"Y"):
  fields = (reference, shares, 9, printable, price)
  return _message(b"C", locate, time, "QIQsI", *fields)


def cancel(locate, time, reference, shares):
  return _message(b"X", locate, time, "QI", reference, shares)


def delete(locate, time, reference):
  return _message(b"D", locate, time, "Q", reference)


def replace(locate, time, reference, new_reference, shares, price):
  fields = (reference, new_reference, shares, price)
  return _message(b"U", locate, time, "QQII", *fields)


def hidden_trade(locate, time, shares, stock, price):
  fields = (0, b"B", shares, _stock(stock), price, 9)
  return _message(b"P", locate, time, "QsI8sIQ", *fields)


def cross(locate, time, shares, stock, price, code=b"O"):
  fields = (shares, _stock(stock), price, 9, code)
  return _message(b"Q", locate, time, "Q8sIQs", *fields)


def broken_trade(locate, time):
  return _message(b"B", locate, time, "Q", 9)


def other(letter, locate, time, length):
  """A message of a type whose content does not matter."""
  return _message(letter, locate, time, f"{length - 11}s", b"")


def frame(messages):
  """The content of a file."""
  return b"".join(struct.pack(">H", len(m)) + m for m in messages)


def save(folder, messages):
  path = folder / NAME
  path.write_bytes(frame(messages))
  return path


def order(time, side, reference, shares, dollars):
  """A new order, some nanoseconds after the open."""
  price = round(dollars * DOLLAR)
  fields = (reference, side.encode(), shares, STOCK, price)
  return add(LOCATE, OPEN + time, *fields)


def at(function, time, *fields):
  """Another message, some nanoseconds after the open."""
  return function(LOCATE, OPEN + time, *fields)


START = [event(OPEN), directory(LOCATE, OPEN, STOCK)]
BOOK = [
  order(0, "S", 1, 100, 10.01),
  order(0, "S", 2, 50, 10.01),
  order(0, "S", 3, 30, 10.05),
  order(0, "B", 4, 200, 9.98),
]
