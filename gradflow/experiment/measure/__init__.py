"""From an experiment to numbers: points, bundles, what they take, and measuring them."""
