"""Noticing drift, and answering it: detectors, sample weights, a raised rate, distillation, an old cohort."""
