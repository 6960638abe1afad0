// A price-time order book of sorted arrays, as plain as C can be.
//
// A side is an array of the orders that rest on it, worst first, so that the
// best leaves without a move. A key is a price that is the greater the better:
// the price of a bid, minus the price of an ask.

#include <stdint.h>
#include <string.h>

enum { CANCEL = 1, BID = 1, MAX_FILLS = 8 };

typedef struct { int32_t key, volume, id; } Order;
typedef struct { int32_t kind, side, price, volume, id; } Message;
typedef struct { int32_t price, volume, id; } Fill;
typedef struct { int64_t volume, fills; } Totals;

static void cancel(Order *side, int32_t *count, const Message *message) {
  for (int32_t i = *count - 1; i >= 0; --i) {
    if (side[i].id != message->id) continue;
    side[i].volume -= message->volume;
    if (side[i].volume <= 0) {
      --*count;
      memmove(side + i, side + i + 1, (*count - i) * sizeof(Order));
    }
    return;
  }
}

// Lets an order rest; a full side loses its worst order, maybe this one.
static void rest(Order *side, int32_t *count, int64_t capacity, Order order) {
  int32_t i = *count;
  while (i > 0 && side[i - 1].key >= order.key) --i;
  if (*count < capacity) {
    memmove(side + i + 1, side + i, (*count - i) * sizeof(Order));
    side[i] = order;
    ++*count;
  } else if (i > 0) {
    memmove(side, side + 1, (i - 1) * sizeof(Order));
    side[i - 1] = order;
  }
}

static void limit(Order *own, int32_t *own_count, Order *other,
                  int32_t *other_count, int64_t capacity,
                  const Message *message, Fill *fills, Totals *totals) {
  const int32_t sign = message->side == BID ? 1 : -1;
  Order order = {sign * message->price, message->volume, message->id};
  int32_t num_fills = 0;
  while (order.volume > 0 && *other_count > 0) {
    Order *best = other + *other_count - 1;
    if (best->key + order.key < 0) break;  // The prices do not cross.
    const int32_t volume =
        best->volume < order.volume ? best->volume : order.volume;
    if (num_fills < MAX_FILLS)
      fills[num_fills] = (Fill){-sign * best->key, volume, best->id};
    ++num_fills;
    totals->volume += volume;
    order.volume -= volume;
    best->volume -= volume;
    if (best->volume == 0) --*other_count;
  }
  totals->fills += num_fills;
  if (order.volume > 0) rest(own, own_count, capacity, order);
}

// Applies messages [T][B] to books [B][2][capacity] of counts [B][2]. Gives the
// first fills of each message, [T][B][MAX_FILLS], and adds to the totals [B].
void replay(int64_t num_messages, int64_t num_books, int64_t capacity,
            const Message *messages, Order *orders, int32_t *counts,
            Fill *fills, Totals *totals) {
  for (int64_t t = 0; t < num_messages; ++t) {
    for (int64_t b = 0; b < num_books; ++b) {
      memset(fills, 0, MAX_FILLS * sizeof(Fill));
      const int32_t side = messages->side;
      Order *own = orders + (2 * b + side) * capacity;
      Order *other = orders + (2 * b + 1 - side) * capacity;
      int32_t *count = counts + 2 * b;
      if (messages->kind == CANCEL)
        cancel(own, count + side, messages);
      else
        limit(own, count + side, other, count + 1 - side, capacity, messages,
              fills, totals + b);
      ++messages;
      fills += MAX_FILLS;
    }
  }
}
