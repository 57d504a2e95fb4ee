"""Every number and name that two rooms of the house share, once."""

GLOBAL_CLASSES = ("high", "medium", "low")
GLOBAL_EDGES_A = (5.0, 10.0)
"""Edges of the global classes in angstroms; both edges belong to ``medium`` (paper, section 4.1)."""

LOCAL_EDGES_A = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
"""Upper edges of local classes 0..8 in angstroms, each closed on the right; class 9 is above the last."""
LOCAL_CLASSES = ("0-2", "2-3", "3-4", "4-5", "5-6", "6-7", "7-8", "8-9", "9-10", "10+")
NOT_ESTIMATED_A = 0.0
NOT_ESTIMATED_CLASS = -1
RESMAP_NOT_ESTIMATED_A = 100.0
"""ResMap writes 100 A where no resolution passed; values at or above it are "not estimated"."""
COARSEST_A = 99.0
"""The coarsest local resolution that is written, for that reason."""

FSC_THRESHOLD = 0.143

CLASSIFICATION_JSON = "classification.json"
LOCAL_RESOLUTION = "local_resolution.mrc"
LOCAL_CLASS = "local_resolution_class.mrc"
LOCAL_INTERVAL = "local_resolution_interval.mrc"
MASK_USED = "mask_used.mrc"
LOCAL_JSON = "local_resolution.json"
COMPARISON_JSON = "comparison.json"
DISAGREEMENT = "disagreement.mrc"
RESULTS_CSV = "results.csv"
VALIDATION_JSON = "validation.json"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"

MODEL_SUFFIX = ".cryoresdl"
MODELS_VARIABLE = "CRYORESDL_MODELS"
"""Environment variable naming the folder of installed models; ``~/.cryoresdl/models`` when unset."""
DEFAULT_LOCAL_MODEL = "truth"
DEFAULT_GLOBAL_MODEL = "default"
