"""The protocols of CryoResDL. One file each; all run one engine command (see :mod:`.protocol_base`)."""

from .protocol_compare import ProtCryoResCompare  # noqa: F401
from .protocol_import_model import ProtCryoResImportModel  # noqa: F401
from .protocol_residues import ProtCryoResResidues  # noqa: F401
from .protocol_simulate import ProtCryoResSimulate  # noqa: F401
from .protocol_validate import ProtCryoResValidate  # noqa: F401
from .training import ProtCryoResTrainGlobal, ProtCryoResTrainLocal  # noqa: F401
