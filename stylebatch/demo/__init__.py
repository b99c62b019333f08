"""A small project to try stylebatch on: public-domain photographs, styles that are drawn."""

from stylebatch.demo.demo import write_demo

__all__ = ["write_demo"]
