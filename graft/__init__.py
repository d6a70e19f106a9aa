"""Graft: transfer learning that proves the graft took. See README.md; the layers are drawn in CONTRIBUTING.md."""

__version__ = "0.1.0"
