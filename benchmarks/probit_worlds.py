"""The probit model of simulated arms: a model is right on an item whose latent difficulty lies below its skill.

S seeds, N items. The benchmarks that simulate (`verdict_worlds`, `labels_saved`, `test_reuse`,
`examination_intervals`) differ in what is random, and in which order it is drawn; the model is this one.
"""

import numpy as np
from scipy.stats import norm


def skills(accuracy: float, deviation: float, luck_S: np.ndarray) -> np.ndarray:
    """[S]: latent skills of seeds whose mean accuracy (0..1) is this one.

    The seed's luck widens the latent distribution, and must not change the mean accuracy.

    Args:
        deviation: standard deviation of the skills; 0.05, 0.15 and 0.3 are 1.2, 3.5 and 7 points at 85 %.
        luck_S: standard normal.
    """
    return norm.ppf(accuracy) * (1 + deviation**2) ** 0.5 + deviation * luck_S


def mixed(share: float, one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """[N]: of unit variance if both are; `share` of the variance is the first one's."""
    return share**0.5 * one_N + (1 - share) ** 0.5 * other_N


def right_answers(skills_S: np.ndarray, difficulty_N: np.ndarray, luck_SN: np.ndarray) -> np.ndarray:
    """[S, N]: 1 where the difficulty, with the luck of seed and item, lies below the skill, else 0."""
    return (difficulty_N + luck_SN < skills_S[:, None]).astype(float)
