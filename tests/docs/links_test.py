"""Links inside the documents lead to files and headings that exist."""

import re

import pytest

from tests.support import paths

_DOCUMENTS = [
  paths.ROOT / "README.md",
  paths.ROOT / "tests" / "README.md",
  *sorted(paths.ROOT.glob("docs/*.md")),
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _anchors(path):
  """The anchors of the headings of a document, as GitHub makes them."""
  headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
  words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
  return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize(
  "path", _DOCUMENTS, ids=lambda path: str(path.relative_to(paths.ROOT))
)
def test_links_lead_somewhere(path):
  for link in _LINK.findall(path.read_text()):
    if link.startswith("http"):
      continue
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    assert target.exists(), link
    assert not anchor or anchor in _anchors(target), link


def test_the_readme_is_short():
  assert len(_DOCUMENTS[0].read_text().splitlines()) <= 180
