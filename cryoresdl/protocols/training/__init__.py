"""The two training protocols and what they share."""

from .protocol_train_global import ProtCryoResTrainGlobal  # noqa: F401
from .protocol_train_local import ProtCryoResTrainLocal  # noqa: F401
