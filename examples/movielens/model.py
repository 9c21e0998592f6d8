"""Will this user like this film? A DeepFM on who the user is, what they liked last, and what the film is."""

import martlet.learn as ml
from martlet.learn.models import DeepFM, model_of

MODEL = model_of(
    "movielens",
    DeepFM,
    inputs={
        "user": ml.Id("user_id"),
        "item": ml.Id("item_id"),
        "age": ml.Id("age"),
        "gender": ml.Id("gender"),
        "occupation": ml.Id("occupation"),
        "hour": ml.Id("hour"),
        "weekday": ml.Id("weekday"),
        "genres": ml.IdList("item.genres", max_len=6, pool="mean"),
        "year": ml.Id("item.year"),
        "recent": ml.IdList("recent_items", space="recent", max_len=10, pool="mean"),
    },
    label=ml.Binary("rating", window="60s", explicit=True, threshold=4.0),
    dense=ml.Adam(1e-3),
    rows=ml.RowWiseAdaGrad(0.05),
    dim=16,
    hidden=(64, 32),
)
