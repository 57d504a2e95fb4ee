"""The viewers of CryoResDL: they compute nothing and draw with :mod:`cryoresdl.models.results.figures`."""

from .viewer_compare import CryoResCompareViewer  # noqa: F401
from .viewer_simulate import CryoResSimulateViewer  # noqa: F401
from .viewer_train import CryoResTrainViewer  # noqa: F401
from .viewer_validate import CryoResValidateViewer  # noqa: F401
