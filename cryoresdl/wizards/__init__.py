"""The wizards of CryoResDL: windows that help to fill in a form."""

from .wizards import (  # noqa: F401
    CryoResBatchWizard,
    CryoResMaskWizard,
    CryoResModelWizard,
    CryoResSamplingWizard,
)
