"""The training config, section by section.

One TOML file says everything that a run depends on; `training.TrainingConfig` is the whole.
"""

from buildext.learn.training.config.data import AugmentSection, SamplingSection
from buildext.learn.training.config.loss import LossSection
from buildext.learn.training.config.method import MethodSection, Role
from buildext.learn.training.config.network import NetworkSection
from buildext.learn.training.config.schedule import MachineSection, ScheduleSection
from buildext.learn.training.config.split import SplitSection
from buildext.learn.training.config.training import (
    DATA_VARIABLE,
    TrainingConfig,
    check_config,
    load_config,
    read_toml,
    resolve_path,
)

__all__ = [
    "DATA_VARIABLE",
    "AugmentSection",
    "LossSection",
    "MachineSection",
    "MethodSection",
    "NetworkSection",
    "Role",
    "SamplingSection",
    "ScheduleSection",
    "SplitSection",
    "TrainingConfig",
    "check_config",
    "load_config",
    "read_toml",
    "resolve_path",
]
