"""CryoResDL: deep-learning validation of the resolution of cryo-EM maps, as a Scipion plugin and alone.

Importing this package must stay cheap and free of Scipion, because the engine (``cryoresdl.models``) lives in it
and also runs where Scipion is not installed. Scipion asks for ``cryoresdl.Plugin``; it is loaded at that moment.
"""

__version__ = "0.1.0"
_logo = "cryoresdl_logo.png"
_references = ["avramov2019"]


def __getattr__(name):
    """Load the Scipion side on first use (PEP 562)."""
    if name == "Plugin":
        from .plugin import Plugin

        return Plugin
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
