"""The released order model in plain NumPy, in float64.

A LLaMA (Touvron et al., arXiv:2302.13971) whose input is a sum of embeddings
and whose output is one softmax over all orders. It reads the tensors under the
names of the released files.
"""

import numpy as np

NUM_PRICES, NUM_VOLUMES, NUM_INTERVALS = 32, 32, 16


def logits(tensors, tokens, num_heads):
  """Logits of the order after each token.

  Args:
    tensors: {name: array}, as in a released file.
    tokens: int [T, 15]: order index, two ratios that are not read, change since
      the open in basis points, seconds of trading since the open, and the
      volumes of ten ticks.
    num_heads: of attention.

  Returns:
    [T, 49152]
  """
  w = {name: np.asarray(x, np.float64) for name, x in tensors.items()}
  x = np.stack([_embed(w, token) for token in tokens])
  layer = 0
  while f"decoder.model.layers.{layer}.input_layernorm.weight" in w:
    prefix = f"decoder.model.layers.{layer}."
    block = {
      name.removeprefix(prefix).removesuffix(".weight"): value
      for name, value in w.items()
      if name.startswith(prefix)
    }
    x = x + _attention(block, _rms_norm(x, block["input_layernorm"]), num_heads)
    normed = _rms_norm(x, block["post_attention_layernorm"])
    gate = normed @ block["mlp.gate_proj"].T
    up = normed @ block["mlp.up_proj"].T
    x = x + (gate / (1 + np.exp(-gate)) * up) @ block["mlp.down_proj"].T
    layer += 1
  x = _rms_norm(x, w["decoder.model.norm.weight"])
  return x @ w["decoder.lm_head.weight"].T


def _embed(w, token):
  """The sum of embeddings of one token, [D]."""

  def get(name):
    return w[f"order_info_tokenizer.{name}"]

  order, interval = divmod(int(token[0]), NUM_INTERVALS)
  order, volume = divmod(order, NUM_VOLUMES)
  kind, price = divmod(order, NUM_PRICES)
  slots = get("lob_tokenizer.0.weight") @ token[5:]
  slots = slots + get("lob_tokenizer.0.bias")
  centred = slots - slots.mean()
  normed = centred / np.sqrt((centred**2).mean() + 1e-5)
  return (
    get("emb_order_type.weight")[kind]
    + get("emb_price_level.weight")[price]
    + get("emb_pred_order_volume.weight")[volume]
    + get("emb_order_interval.weight")[interval]
    + get("emb_chg_to_open.weight")[token[3] + 2000]
    + get("emb_time_to_open.weight")[token[4] // 5]
    + normed * get("lob_tokenizer.1.weight")
    + get("lob_tokenizer.1.bias")
  )


def _rms_norm(x, scale):
  return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * scale


def _attention(block, x, num_heads):
  """Causal attention of all tokens, [T, D], head by head."""
  length, dim = x.shape
  size = dim // num_heads
  mixed = np.zeros_like(x)
  for head in range(num_heads):
    rows = slice(head * size, (head + 1) * size)
    q, k, v = (x @ block[f"self_attn.{name}_proj"][rows].T for name in "qkv")
    scores = _rotate(q) @ _rotate(k).T / np.sqrt(size)
    scores[np.triu_indices(length, 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    mixed[:, rows] = weights / weights.sum(axis=1, keepdims=True) @ v
  return mixed @ block["self_attn.o_proj"].T


def _rotate(x):
  """Rotates pairs by their position.

  (i, i + K / 2) turn by position * 10000 ** (-2 i / K).
  """
  half = x.shape[1] // 2
  turned = np.empty_like(x)
  for position in range(len(x)):
    for i in range(half):
      angle = position * 10_000.0 ** (-i / half)
      a, b = x[position, i], x[position, i + half]
      turned[position, i] = a * np.cos(angle) - b * np.sin(angle)
      turned[position, i + half] = b * np.cos(angle) + a * np.sin(angle)
  return turned
