"""Replay of a feed through the matching engine, with proof.

`replay` matches a stream into a book of fixed capacity and keeps its records;
`verify` replays it under the rules of its venue, in a book that grows, and
compares the outcome with what the exchange published. Both run on `Replayer`,
chunk by chunk. `lobster_writer` writes orders as LOBSTER files; import it as a
module.
"""

from mars_jax.replay.engine import Chunk
from mars_jax.replay.engine import Output
from mars_jax.replay.engine import Replayer
from mars_jax.replay.recorder import feed_rules
from mars_jax.replay.recorder import initial_exchange
from mars_jax.replay.recorder import records
from mars_jax.replay.recorder import replay
from mars_jax.replay.verification import VerifyResult
from mars_jax.replay.verification import verify
from mars_jax.replay.verification import verify_and_record

__all__ = (
  "Chunk",
  "Output",
  "Replayer",
  "VerifyResult",
  "feed_rules",
  "initial_exchange",
  "records",
  "replay",
  "verify",
  "verify_and_record",
)
