"""Released weights: every tensor finds its place, and the logits are the same.

Files of their shapes with random numbers stand for them. Two oracles say what
the logits must be: a LLaMA in plain numpy, and, where they are installed,
PyTorch and transformers.
"""

import functools
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import types
from mars_jax.lmm.released import weights
from mars_jax.tokens import features as features_lib
from mars_jax.tokens import vocab
from tests.support.oracles import llama
from tests.support.train import released_files

_NUM_PARAMS = {"2m": 2_524_624, "5m": 5_008_288, "10m": 10_065_856}
pytestmark = pytest.mark.usefixtures("quick_compilation")

_apply = jax.jit(lmm.apply, static_argnames="config")
_log_prob = jax.jit(lmm.log_prob, static_argnames="config")


@pytest.fixture
def write(tmp_path):
  """`released_files.write_weights`, in a folder of the test's own."""
  return functools.partial(released_files.write_weights, tmp_path)


def _tokens(length):
  """Random rows of the 15 numbers that the released code reads."""
  rng = np.random.default_rng(1)
  index = rng.integers(49152, size=length)
  change = rng.integers(-2000, 2001, size=length)
  seconds = np.sort(rng.integers(0, 14_401, size=length))
  slots = rng.integers(0, 33, size=(length, 10))
  ratios = rng.integers(0, 10, size=(length, 2))
  return np.column_stack([index, ratios, change, seconds, slots])


def _features(tokens):
  """The same orders as our features; sessions 9:30-11:30 and 13:00-15:00."""
  tokens = tokens.astype(np.int32)
  zeros = np.zeros(len(tokens), np.int32)
  classes = np.zeros((len(tokens), 2, types.DEPTH_CLASSES), np.int32)
  seconds = tokens[:, 4]
  return features_lib.TokenFeatures(
    symbols=np.asarray(vocab.unpack(tokens[:, 0])),
    volumes=tokens[:, 5:],
    distances=np.zeros_like(tokens[:, 5:]),
    depth=types.Depth(classes, classes),
    mid_change=tokens[:, 3],
    mid_move=zeros,
    time=np.where(seconds <= 7200, 34_200, 39_600) + seconds,
    price_offset=zeros,
    order_volume=zeros,
    interval=zeros,
  )


def _hidden(converted, tokens):
  return _apply(converted.params, _features(tokens), config=converted.config)[0]


def _logits(converted, tokens):
  return _hidden(converted, tokens) @ converted.params["head"]["kernel"].T


@pytest.mark.parametrize("size", released_files.SIZES)
def test_the_released_shapes_sum_to_the_released_counts(size, write):
  converted = weights.load(write(size))
  assert converted.num_source_params == _NUM_PARAMS[size]
  unused = sum(int(np.prod(shape)) for shape in converted.unused.values())
  assert lmm.num_params(converted.params) == _NUM_PARAMS[size] - unused


def test_the_file_of_the_2m_has_the_size_of_the_released_one(write):
  # Which the names have a part in.
  assert len(released_files.random_tensors("2m")) == 28
  assert write("2m").stat().st_size == 10_101_496


@pytest.mark.parametrize("size", released_files.SIZES)
def test_the_parameters_are_those_that_the_config_asks_for(size, write):
  converted = weights.load(write(size))
  dim, num_layers, num_heads = released_files.SIZES[size]
  config = converted.config
  assert (config.dim, config.num_layers) == (dim, num_layers)
  assert (config.num_heads, config.head_dim) == (num_heads, 8)
  assert (config.window, config.inputs, config.head) == (1024, "ticks", "joint")
  wanted = jax.eval_shape(
    lambda: lmm.init(jax.random.key(0), config=converted.config)
  )
  chex.assert_trees_all_equal_shapes_and_dtypes(converted.params, wanted)


def test_what_the_released_model_does_not_read_is_named(write):
  assert weights.load(write()).unused == {
    "decoder.model.embed_tokens.weight": (49152, 16),
    "linear_head.0.weight": (16,),
    "linear_head.0.bias": (16,),
    "linear_head.1.weight": (49152, 16),
    "linear_head.1.bias": (49152,),
    f"{released_files.EMBED}emb_volume_ratio.weight": (11, 16),
    f"{released_files.EMBED}emb_trans_ratio.weight": (11, 16),
  }


@pytest.mark.parametrize("size", released_files.SIZES)
def test_logits_are_those_of_a_plain_llama(size, write):
  tokens = _tokens(length=100)
  converted = weights.load(write(size))
  found = _logits(converted, tokens)
  wanted = llama.logits(
    released_files.random_tensors(size), tokens, released_files.SIZES[size][2]
  )
  assert wanted.std() > 0.5
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_the_probability_of_an_order_is_the_softmax_of_a_plain_llama(write):
  tokens = _tokens(length=20)
  converted = weights.load(write())
  index = jnp.asarray(tokens[1:, 0], jnp.int32)
  hidden = _hidden(converted, tokens)[:-1]
  found = _log_prob(
    converted.params, hidden, vocab.unpack(index), config=converted.config
  ).sum(axis=-1)
  logits = llama.logits(
    released_files.random_tensors("2m"), tokens, num_heads=2
  )[:-1]
  wanted = logits[np.arange(19), index] - np.log(np.exp(logits).sum(axis=-1))
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", released_files.SIZES)
def test_logits_are_those_of_pytorch(size, write):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  nn = torch.nn
  dim, num_layers, num_heads = released_files.SIZES[size]
  tensors = {
    name: torch.from_numpy(x)
    for name, x in released_files.random_tensors(size).items()
  }
  model = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
      hidden_size=dim,
      num_attention_heads=num_heads,
      intermediate_size=4 * dim,
      num_hidden_layers=num_layers,
      attention_dropout=0.1,
      use_cache=False,
      vocab_size=49152,
    )
  ).eval()
  model.load_state_dict(
    {
      name.removeprefix("decoder."): x
      for name, x in tensors.items()
      if name.startswith("decoder.")
    }
  )

  def table(name):
    return nn.Embedding.from_pretrained(
      tensors[f"{released_files.EMBED}{name}.weight"]
    )

  project, norm = nn.Linear(10, dim), nn.LayerNorm(dim)
  for i, module in enumerate((project, norm)):
    prefix = f"{released_files.EMBED}lob_tokenizer.{i}."
    module.load_state_dict(
      {name: tensors[prefix + name] for name in ("weight", "bias")}
    )
  tokens = _tokens(length=200)
  x = torch.from_numpy(tokens)
  with torch.no_grad():
    embedded = (
      table("emb_order_type")(x[:, 0] // 16_384)
      + table("emb_price_level")(x[:, 0] // 512 % 32)
      + table("emb_pred_order_volume")(x[:, 0] // 16 % 32)
      + table("emb_order_interval")(x[:, 0] % 16)
      + table("emb_chg_to_open")(x[:, 3] + 2000)
      + table("emb_time_to_open")(x[:, 4] // 5)
      + norm(project(x[:, 5:].float()))
    )
    wanted = model(inputs_embeds=embedded[None]).logits[0].numpy()
  found = _logits(weights.load(write(size)), tokens)
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_half_precision_weights_become_float32(write):
  name = "decoder.model.norm.weight"
  half = released_files.random_tensors("2m")[name].astype(np.float16)
  scale = weights.load(write(changes={name: half})).params["norm"]["scale"]
  assert scale.dtype == np.float32
  np.testing.assert_array_equal(scale, half)


def test_heads_and_window_are_the_callers_then_those_of_the_config(write):
  path = write("10m", about={"num_heads": 4, "num_max_orders": 256, "x": "y"})
  config = weights.load(path).config
  assert (config.num_heads, config.head_dim, config.window) == (4, 16, 256)
  config = weights.load(path, num_heads=16, window=512).config
  assert (config.num_heads, config.head_dim, config.window) == (16, 4, 512)


@pytest.mark.parametrize(
  "about",
  [{"emb_dim": 32}, {"num_layers": 2}, {"num_heads": None}, ["no", "config"]],
)
def test_a_config_of_another_model_is_refused(about, write):
  with pytest.raises(ValueError, match="config.json"):
    weights.load(write(about=about))


@pytest.mark.parametrize("num_heads", [0, 3])
def test_heads_that_do_not_divide_the_width_are_refused(num_heads, write):
  with pytest.raises(ValueError, match=f"{num_heads} heads"):
    weights.load(write(), num_heads=num_heads)


@pytest.mark.parametrize(
  "name, tensor",
  [
    (f"{released_files.EMBED}emb_time_to_open.weight", None),
    ("decoder.model.layers.0.mlp.up_proj.weight", None),
    ("decoder.model.layers.2.mlp.up_proj.weight", np.zeros((64, 16))),
    ("decoder.lm_head.weight", np.zeros((49151, 16))),
    (f"{released_files.EMBED}lob_tokenizer.0.weight", np.zeros((10, 16))),
    ("decoder.model.norm.weight", np.zeros(16, np.int32)),
    ("linear_head.1.weight", np.zeros((16, 49152))),
    (f"{released_files.EMBED}emb_trans_ratio.weight", np.zeros((12, 16))),
    ("decoder.model.layers.0.self_attn.q_proj.bias", np.zeros(16)),
  ],
)
def test_a_file_of_other_tensors_is_refused(name, tensor, write):
  with pytest.raises(ValueError, match="order model|not of floats") as error:
    weights.load(write(changes={name: tensor}))
  assert name in str(error.value)


def test_one_of_the_two_unknown_tables_alone_is_refused(write):
  changes = {f"{released_files.EMBED}emb_trans_ratio.weight": None}
  with pytest.raises(ValueError, match="emb_volume_ratio.* is unknown"):
    weights.load(write(changes=changes))


def test_a_plain_llama_is_refused(write):
  changes = {
    x: None
    for x in released_files.random_tensors("2m")
    if x.startswith(released_files.EMBED)
  }
  with pytest.raises(ValueError, match="no tables of orders"):
    weights.load(write(changes=changes))


def test_weights_without_what_is_not_read_will_do(write):
  unused = weights.load(write()).unused
  bare = weights.load(write(changes=dict.fromkeys(unused)))
  assert not bare.unused
  assert bare.num_source_params == lmm.num_params(bare.params)


def test_another_file_is_refused(tmp_path):
  path = tmp_path / "model.safetensors"
  with pytest.raises(FileNotFoundError, match="model.safetensors"):
    weights.load(path)
  path.write_bytes(b"no weights")
  with pytest.raises(ValueError, match="not a safetensors file"):
    weights.load(path)


def test_without_the_extra_the_error_names_it(write, monkeypatch):
  path = write()
  monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(ImportError, match=r"mars-jax\[import\]"):
    weights.load(path)
  with pytest.raises(ImportError, match=r"mars-jax\[import\]"):
    weights.fetch("2m")


def test_without_a_network_fetching_says_so(tmp_path, monkeypatch):
  constants = pytest.importorskip("huggingface_hub.constants")
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
  with pytest.raises(ConnectionError, match="Don-Don/mars-order-5m"):
    weights.fetch("5m")
  with pytest.raises(ConnectionError, match="Don-Don/mars-order-assets"):
    weights.fetch_converters()


def test_a_size_that_is_not_released_cannot_be_fetched():
  with pytest.raises(ValueError, match="2m, 5m, 10m"):
    weights.fetch("1b")
