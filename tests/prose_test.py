"""The rules of prose that a machine can check."""

import ast
import pathlib
import re

import pytest

from tests.support import paths

_FOLDERS = ("mars_jax", "launch", "configs")
_MAX_WORDS = 10
# A clause as the subject, or a riddle, in place of a verb or a noun phrase.
_OPENERS = re.compile(
  r"(What|Which|Whether|Who|Whose|Where|When|How|Why|Of|Tells)\b"
)
_DIALECT = re.compile(
  r"tells? of|which see\b|what comes\b|is no good|of no concern|in truth"
  r"|told apart|nobody's|what is there\b|as well\b(?! as)",
  re.IGNORECASE,
)


def findings(text: str, name: str) -> list[str]:
  """Returns the violations in the docstrings of a source, as text."""
  found = []
  for node in ast.walk(ast.parse(text)):
    if not isinstance(
      node,
      (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
    ):
      continue
    doc = ast.get_docstring(node)
    if doc is None:
      continue
    where = f"{name}:{getattr(node, 'name', 'module')}"
    first = _first_sentence(doc)
    if (count := len(first.split())) > _MAX_WORDS:
      found.append(f"{where}: {count} words: {first}")
    if _OPENERS.match(first) or "?" in first:
      found.append(f"{where}: neither verb nor noun phrase: {first}")
    if dialect := _DIALECT.search(" ".join(doc.split())):
      found.append(f"{where}: {dialect[0]!r}")
  return found


def _first_sentence(doc: str) -> str:
  """Returns the first sentence of the first paragraph, or what heads it."""
  paragraph = " ".join(doc.split("\n\n")[0].split())
  return re.split(r"(?<=[.:;!?])\s", paragraph)[0]


def _sources(folder: str) -> list[pathlib.Path]:
  """Returns the sources below a folder of the repository."""
  return sorted((paths.ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", _FOLDERS)
def test_docstrings_begin_with_a_short_phrase_in_plain_words(folder):
  found = [
    finding
    for path in _sources(folder)
    for finding in findings(path.read_text(), str(path.relative_to(paths.ROOT)))
  ]
  assert not found, "\n".join(found)


@pytest.mark.parametrize(
  ("doc", "expected"),
  [
    ("Returns the best bid and ask.", None),
    ("Returns it.\n\nAs well as that.", None),
    ("What it is.", "neither verb nor noun phrase"),
    ("Is it so?", "neither verb nor noun phrase"),
    (f"Returns{' the' * 9} mid.", "11 words"),
    ("Returns it.\n\n  Nothing tells\n  of it.", "'tells of'"),
  ],
)
def test_the_check_finds_what_it_should(doc, expected):
  source = f'def f():\n  """{doc}"""\n'
  found = findings(source, "x.py")
  assert bool(found) == bool(expected)
  assert not expected or expected in found[0]
