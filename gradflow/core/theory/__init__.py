"""What theory predicts for the rate of a gradient, to be laid over what is measured.

Each prediction says whether its assumptions hold (see `gradflow.core.quantity.Prediction`), and if
not, why not.
"""

from gradflow.core.theory.bounds import norm_bound, radius_rate
from gradflow.core.theory.carrousel import carrousel_rate, chrono_decay, chrono_rate
from gradflow.core.theory.gated import population_rate
from gradflow.core.theory.mean_field import rnn_chi, rnn_driven
from gradflow.core.theory.rest import at_rest
from gradflow.core.theory.survey import predict

__all__ = [
    "at_rest",
    "carrousel_rate",
    "chrono_decay",
    "chrono_rate",
    "norm_bound",
    "population_rate",
    "predict",
    "radius_rate",
    "rnn_chi",
    "rnn_driven",
]
