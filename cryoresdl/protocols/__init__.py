"""The protocols of CryoResDL. One file each; all run one engine command (see :mod:`.protocol_base`)."""

from .protocol_import_model import ProtCryoResImportModel  # noqa: F401
from .protocol_validate import ProtCryoResValidate  # noqa: F401
