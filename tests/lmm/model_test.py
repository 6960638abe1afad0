"""The order model: both ways through it agree; its head is a distribution."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from mars_jax import lmm
from mars_jax.lmm.nn import attention
from mars_jax.tokens import touch
from mars_jax.tokens import vocab
from tests.support.train import random_params

_CONFIG = lmm.LmmConfig(
  dim=16,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=24,
  window=5,
  dropout=0.2,
)
pytestmark = pytest.mark.usefixtures("quick_compilation")

_AXES = lmm.cache.AXES
_init = jax.jit(lmm.init, static_argnames="config")
_apply = jax.jit(lmm.apply, static_argnames="config")
_log_prob = jax.jit(lmm.log_prob, static_argnames="config")


def _config(**changes):
  return lmm.LmmConfig(**{**vars(_CONFIG), **changes})


# One thing of each kind that the config above has not.
_VARIANTS = {
  "levels": {"inputs": "levels"},
  "bins_only": {"has_values": False},
  "order_only": {"has_book": False},
  "qk_norm": {"qk_norm": True},
  "remat": {"remat": True},
  "short_window": {"short_window": 3},
  "ticks": {"inputs": "ticks", "has_values": True},
  "ticks_order_only": {"inputs": "ticks", "has_book": False},
  "joint": {"head": "joint", "alphabet": "mid"},
}


# Those by which what comes out of the blocks differs.
_EMBEDDED = tuple(name for name in _VARIANTS if name not in ("remat", "joint"))


def _at(features, i):
  return jax.tree.map(lambda leaf: leaf[i], features)


def _sharpened(params, scale=30.0):
  """Parameters whose head is far from uniform, as after training."""
  head = {
    name: leaf
    if name.startswith(("inner", "given"))
    else jax.tree.map(lambda w: w * scale, leaf)
    for name, leaf in params["head"].items()
  }
  return {**params, "head": head}


def _decode(params, features, cache, config):
  """Decodes a sequence token by token; returns `[T, D]` and the cache."""
  hidden = []
  for t in range(len(features.time)):
    x, cache = _apply(params, _at(features, t), cache, config=config)
    hidden.append(x)
  return np.stack(hidden), cache


class ApplyTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.params = _init(jax.random.key(0), config=_CONFIG)

  @parameterized.parameters(1, 3, 5, 17)
  def test_decoding_token_by_token_equals_the_whole_sequence(self, length):
    features = random_params.tokens(length)
    whole, whole_cache = _apply(self.params, features, config=_CONFIG)
    cache = lmm.cache.init(config=_CONFIG)
    hidden, cache = _decode(self.params, features, cache, _CONFIG)
    chex.assert_trees_all_close(hidden, whole, atol=1e-5)
    chex.assert_trees_all_close(cache, whole_cache, atol=1e-5)
    chex.assert_trees_all_equal_shapes_and_dtypes(cache, whole_cache)

  @parameterized.parameters(*_EMBEDDED)
  def test_so_does_every_variant(self, name):
    config = _config(**_VARIANTS[name])
    params, features = random_params.params(config), random_params.tokens(9)
    whole, _ = _apply(params, features, config=config)
    cache = lmm.cache.init(config=config)
    hidden, _ = _decode(params, features, cache, config)
    chex.assert_trees_all_close(hidden, whole, atol=1e-5)

  def test_without_the_book_nothing_is_told_of_it(self):
    for inputs in ("levels", "ticks"):
      config = _config(inputs=inputs, has_book=False, has_values=False)
      params = random_params.params(config)
      one, other = (
        random_params.tokens(6, seed=0),
        random_params.tokens(6, seed=1),
      )
      other = other.replace(symbols=one.symbols, time=one.time)
      chex.assert_trees_all_equal(
        *(_apply(params, f, config=config)[0] for f in (one, other))
      )

  def test_a_time_out_of_the_session_is_its_start_or_end(self):
    config = _config(inputs="ticks")
    params = random_params.params(config)

    def hidden(*times):
      features = random_params.tokens(len(times)).replace(time=jnp.int32(times))
      return _apply(params, features, config=config)[0]

    # Before the opening, during the break and after the close.
    chex.assert_trees_all_equal(
      hidden(100, 42_000, 60_000), hidden(34_200, 46_800, 54_000)
    )
    self.assertGreater(np.abs(hidden(34_200) - hidden(34_205)).max(), 1e-3)

  def test_bfloat16_is_close_to_float32(self):
    for head in ("factored", "joint"):
      config = _config(head=head, qk_norm=True, alphabet="mid")
      params = random_params.params(config)
      features = random_params.tokens(9, alphabet="mid")
      half = dataclasses.replace(config, dtype="bfloat16")
      hidden, cache = _apply(params, features, config=half)
      self.assertEqual(hidden.dtype, jnp.bfloat16)
      chex.assert_trees_all_equal_shapes_and_dtypes(
        cache, lmm.cache.init(config=half)
      )
      scores = [
        _log_prob(
          params,
          _apply(params, features, config=c)[0],
          features.symbols,
          config=c,
        )
        for c in (config, half)
      ]
      self.assertEqual(scores[1].dtype, jnp.float32)
      chex.assert_trees_all_close(*scores, atol=0.05)

  @parameterized.parameters(2, 5, 13)
  def test_decoding_goes_on_where_a_prefix_ends(self, length):
    features = random_params.tokens(20)
    whole, _ = _apply(self.params, features, config=_CONFIG)
    prefix, rest = (
      _at(features, slice(length)),
      _at(features, slice(length, 20)),
    )
    _, cache = _apply(self.params, prefix, config=_CONFIG)
    hidden, cache = _decode(self.params, rest, cache, _CONFIG)
    chex.assert_trees_all_close(hidden, whole[length:], atol=1e-5)
    self.assertEqual(cache.position, 20)

  @parameterized.parameters((150, 100), (150, 1), (130, 66), (64, 300))
  def test_chunked_attention_equals_plain_attention(self, length, window):
    keys = jax.random.split(jax.random.key(1), 3)
    q = jax.random.normal(keys[0], (length, 4, 6))
    k = jax.random.normal(keys[1], (length, 2, 6))
    v = jax.random.normal(keys[2], (length, 2, 6))
    age = np.arange(length)[:, None] - np.arange(length)[None]
    plain = jax.nn.dot_product_attention(
      q, k, v, mask=jnp.asarray((age >= 0) & (age < window))[None]
    )
    attend = functools.partial(attention.attend_band, window=window)
    chunked = jax.jit(attend)(q, k, v)
    chex.assert_trees_all_close(chunked, plain, atol=1e-5)

  def test_a_token_depends_on_its_past_only(self):
    influence = self._influence(_CONFIG, length=14)
    np.testing.assert_array_equal(np.triu(influence, 1), 0.0)
    reach = _CONFIG.num_layers * (_CONFIG.window - 1)
    age = np.arange(14)[:, None] - np.arange(14)[None]
    self.assertTrue((influence[(age >= 0) & (age <= reach)] > 0).all())

  def test_one_layer_sees_exactly_the_window(self):
    influence = self._influence(_config(num_layers=1), length=14)
    age = np.arange(14)[:, None] - np.arange(14)[None]
    inside = (age >= 0) & (age < _CONFIG.window)
    np.testing.assert_array_equal(influence > 0, inside)

  def test_only_the_last_layer_sees_beyond_a_short_window(self):
    influence = self._influence(_config(short_window=2), length=14)
    age = np.arange(14)[:, None] - np.arange(14)[None]
    reach = 1 + _CONFIG.window - 1
    np.testing.assert_array_equal(influence > 0, (age >= 0) & (age <= reach))

  def _influence(self, config, length):
    """|d hidden[t] / d input[s]|, `[t, s]`.

    Inputs are integers, so the gradient is that of the table of fields, of
    which token `s` alone has bucket `s`.
    """
    blocks = jax.tree.map(
      lambda leaf: leaf[: config.num_layers], self.params["blocks"]
    )
    params = {**self.params, "blocks": blocks}
    features = random_params.tokens(length)
    symbols = jnp.zeros_like(features.symbols)
    symbols = symbols.at[:, touch.BUCKET].set(range(length))
    features = features.replace(symbols=symbols)

    def hidden(fields):
      embed = {**params["embed"], "fields": fields}
      return _apply({**params, "embed": embed}, features, config=config)[0]

    jacobian = jax.jit(jax.jacrev(hidden))(params["embed"]["fields"])
    # [T, D, rows, D]: buckets come after the fields before them.
    first = sum(touch.FIELD_SIZES[: touch.BUCKET])
    own = slice(first, first + length)
    return np.abs(jacobian[:, :, own]).sum((1, 3))

  def test_a_batch_equals_its_sequences(self):
    features = random_params.tokens(3, 17)
    run = functools.partial(_apply, self.params, config=_CONFIG)
    batch = jax.vmap(lambda f: run(f)[0])(features)
    for b in range(3):
      chex.assert_trees_all_close(batch[b], run(_at(features, b))[0], atol=1e-5)

  def test_trajectories_in_step_equal_single_ones(self):
    features = random_params.tokens(3, 18)
    prefix, token = _at(features, np.s_[:, :17]), _at(features, np.s_[:, 17])
    run = functools.partial(_apply, self.params, config=_CONFIG)
    _, cache = jax.vmap(run, out_axes=(0, _AXES))(prefix)
    self.assertEqual(cache.num_steps.shape, ())
    batch, after = jax.vmap(run, in_axes=(0, _AXES), out_axes=(0, _AXES))(
      token, cache
    )
    self.assertEqual(after.position.tolist(), [18] * 3)
    for b in range(3):
      _, single = run(_at(prefix, b))
      hidden, _ = run(_at(token, b), single)
      chex.assert_trees_all_close(batch[b], hidden, atol=1e-5)

  def test_the_rotation_keeps_distances_exact_at_any_position(self):
    x = jax.random.normal(jax.random.key(0), (2, 1, 32))

    def score(start):
      position = jnp.asarray([start, start + 7], jnp.int32)
      a, b = attention.rotate(x, position, base=10_000.0)
      return jnp.sum(a * b)

    np.testing.assert_allclose(score(0), score(2_000_000_000), atol=1e-5)

  def test_values_outside_the_training_range_stay_finite(self):
    features = random_params.tokens(3).replace(
      mid_change=jnp.asarray([-(2**31), 10**6, 2**31 - 1]),
      mid_move=jnp.asarray([-(2**31), 10**6, 2**31 - 1]),
    )
    hidden, _ = _apply(self.params, features, config=_CONFIG)
    self.assertTrue(np.isfinite(hidden).all())

  def test_only_a_key_makes_the_output_random(self):
    features = random_params.tokens(5)
    run = functools.partial(_apply, self.params, features, config=_CONFIG)
    chex.assert_trees_all_equal(run(), run())
    one, other = run(key=jax.random.key(1)), run(key=jax.random.key(2))
    self.assertGreater(np.abs(one[0] - other[0]).max(), 1e-2)
    chex.assert_trees_all_equal(one, run(key=jax.random.key(1)))
    cache = lmm.cache.init(config=_CONFIG)
    with self.assertRaisesRegex(ValueError, "dropout"):
      _apply(
        self.params,
        _at(features, 0),
        cache,
        config=_CONFIG,
        key=jax.random.key(1),
      )


class FactoredHeadTest(parameterized.TestCase):
  # An alphabet of which all orders can be listed.
  CONFIG = _config(alphabet="mid")

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.params = _init(jax.random.key(0), config=cls.CONFIG)
    cls.sharp = _sharpened(cls.params)
    cls.hidden = _apply(cls.params, cls.tokens(17), config=cls.CONFIG)[0][-1]
    every = vocab.unpack(jnp.arange(vocab.NUM_ORDERS))
    score = functools.partial(
      lmm.log_prob, cls.sharp, cls.hidden, config=cls.CONFIG
    )
    scores = jax.jit(lambda x: jax.lax.map(score, x, batch_size=256))(every)
    cls.table = np.asarray(scores.sum(-1), np.float64)

  @staticmethod
  def tokens(count):
    return random_params.tokens(count, alphabet="mid")

  def test_the_probabilities_of_all_orders_sum_to_one(self):
    self.assertLess(np.exp(self.table).max() / np.exp(self.table).min(), 1e12)
    self.assertGreater(np.ptp(self.table), 2.0)  # Far from uniform.
    np.testing.assert_allclose(np.exp(self.table).sum(), 1.0, atol=1e-4)

  def test_samples_have_the_probabilities_of_log_prob(self):
    num_samples = 40_000
    draw = functools.partial(lmm.sample, self.sharp, config=self.CONFIG)
    keys = jax.random.split(jax.random.key(7), num_samples)
    # Without a batched hidden state the joint head sums up its logits once.
    fields = jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys, self.hidden)
    self.assertEqual(fields.dtype, jnp.int32)
    fields = np.asarray(fields)
    joint = np.exp(self.table).reshape(vocab.FIELD_SIZES)
    # All pairs of neighbouring fields: 96 + 1,024 + 512 cells; the largest of
    # 1,632 normal |z| exceeds 5 with probability 1e-3.
    for a, b in ((0, 1), (1, 2), (2, 3)):
      others = tuple(f for f in range(4) if f not in (a, b))
      p = joint.sum(others)
      count = np.zeros(p.shape)
      np.add.at(count, (fields[:, a], fields[:, b]), 1)
      z = (count - num_samples * p) / np.sqrt(num_samples * p * (1 - p) + 1)
      self.assertLess(np.abs(z).max(), 5.0)

  def test_an_untrained_model_is_near_uniform(self):
    features = self.tokens(17)
    hidden, _ = _apply(self.params, features, config=self.CONFIG)
    scores = _log_prob(
      self.params, hidden[:-1], features.symbols[1:], config=self.CONFIG
    )
    self.assertEqual(scores.shape, (16, 4))
    uniform = np.log(vocab.NUM_ORDERS)
    self.assertAlmostEqual(-scores.sum(-1).mean() / uniform, 1.0, delta=0.05)

  def test_every_parameter_gets_a_gradient(self):
    features = self.tokens(32)

    def loss(params):
      hidden, _ = _apply(params, features, config=self.CONFIG)
      symbols = features.symbols[1:]
      return -lmm.log_prob(
        params, hidden[:-1], symbols, config=self.CONFIG
      ).mean()

    for gradient in jax.tree.leaves(jax.jit(jax.grad(loss))(self.params)):
      self.assertTrue(np.isfinite(gradient).all())
      self.assertGreater(np.abs(gradient).max(), 0.0)


class JointHeadTest(FactoredHeadTest):
  CONFIG = _config(head="joint", alphabet="mid")

  def test_its_parts_are_those_of_one_softmax(self):
    kernel = self.sharp["head"]["kernel"]
    probability = jax.nn.softmax(kernel @ self.hidden)
    np.testing.assert_allclose(np.exp(self.table), probability, rtol=1e-3)
    joint = np.asarray(probability, np.float64).reshape(vocab.FIELD_SIZES)
    k, p, v, i = 2, 17, 5, 9
    wanted = [
      joint[k].sum() / joint.sum(),
      joint[k, p].sum() / joint[k].sum(),
      joint[k, p, v].sum() / joint[k, p].sum(),
      joint[k, p, v, i] / joint[k, p, v].sum(),
    ]
    fields = jnp.int32([k, p, v, i])
    found = _log_prob(self.sharp, self.hidden, fields, config=self.CONFIG)
    np.testing.assert_allclose(np.exp(found), wanted, rtol=1e-4)

  def test_its_gradient_is_that_of_one_softmax(self):
    hidden, index = self.hidden[None], jnp.int32([12_345])

    def ours(kernel):
      params = {"head": {"kernel": kernel}}
      fields = vocab.unpack(index)
      return lmm.log_prob(params, hidden, fields, config=self.CONFIG).sum()

    def plain(kernel):
      return jax.nn.log_softmax(hidden @ kernel.T)[0, index[0]]

    kernel = self.sharp["head"]["kernel"]
    chex.assert_trees_all_close(
      jax.grad(ours)(kernel), jax.grad(plain)(kernel), atol=1e-6
    )


class ParamsTest(parameterized.TestCase):
  def test_blocks_are_stacked_along_the_first_axis(self):
    params = _init(jax.random.key(0), config=_CONFIG)
    self.assertCountEqual(params, ["embed", "blocks", "norm", "head"])
    for leaf in jax.tree.leaves(params["blocks"]):
      self.assertEqual(leaf.shape[0], _CONFIG.num_layers)
    kernel = params["blocks"]["qkv"]["kernel"]
    self.assertGreater(np.abs(kernel[0] - kernel[1]).max(), 1e-3)

  def test_the_number_of_parameters_is_as_computed_by_hand(self):
    params = _init(jax.random.key(0), config=_CONFIG)
    # Rows of the tables, the time, the numbers; and the book.
    rows = 4 + 4 + 96 + 64 + 129 + 48 + 64
    self.assertEqual(sum(_CONFIG.field_sizes), rows)
    basis = 48 + 32 + 2 * 33 + 16 + 2 * 8 + 2 * 2 * 8
    embed = 16 * (rows + 8 + 51) + 32 * (basis + 1) + 16 * 32
    block = 16 * (4 + 2 * 2) * 4 + 16 * 16 + 3 * 16 * 24 + 2 * (16 + 4)
    given = 4 + 8 + 104 + 168 + 297 + 345  # Symbols before each field.
    head = 7 * 16 * 16 + 16 * given + 16 * rows
    self.assertEqual(lmm.num_params(params), embed + 2 * block + 16 + head)

  @parameterized.parameters(
    ({"num_kv_heads": 3}, "divide"),
    ({"head_dim": 5}, "even"),
    ({"window": 0}, "window"),
    ({"dim": 16.0}, "dim"),
    ({"dropout": 1.0}, "dropout"),
    ({"rope_base": 1.0}, "rope_base"),
    ({"inputs": "trades"}, "inputs = 'trades' is none of depth, levels, ticks"),
    ({"alphabet": "abc"}, "alphabet = 'abc' is none of touch, mid"),
    ({"head": "joint"}, "needs alphabet = 'mid'"),
    ({"head": "both"}, "head = 'both'"),
    ({"dtype": "float16"}, "dtype"),
    ({"session": ((5, 4),)}, "session"),
    ({"session": ((0, 5, 6), (7,))}, "session"),
  )
  def test_a_config_that_makes_no_sense_is_an_error(self, changes, message):
    with self.assertRaisesRegex(ValueError, message):
      _config(**changes)

  def test_an_unknown_key_of_the_config_is_an_error(self):
    with self.assertRaisesRegex(TypeError, "num_layer"):
      _config(num_layer=2)
