"""A small feature spec and manifest that several tests share."""

from martlet.digest import blob_digest
from martlet.feature_encoding import signature_of
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt
from martlet.manifest import (
    BlobRef,
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
)

SPEC = FeatureSpec(
    features=(
        Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=4),
        Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=4),
        Feature("history", "recent_items", FeatureKind.ID_LIST, Side.USER, space="item", width=4, max_len=3),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
        Feature("hour", "hour", FeatureKind.NUMBER, Side.USER),
    ),
    salts={"user": space_salt("user"), "item": space_salt("item")},
)


def blob(content: bytes) -> BlobRef:
    return BlobRef(blob_digest(content), len(content))


MANIFEST = Manifest(
    model="shop",
    kind=VersionKind.DELTA,
    lineage=Lineage("shop-1", "mt1-" + "0" * 64, 3, 7),
    learned=Learned({"serving-0": 1234}, 17, 900, 1_700_000_000_000_000),
    graph=blob(b"graph"),
    dense=blob(b"dense"),
    tables=(TableManifest("t4", 4, 16, "float32", blob(b"base"), (blob(b"delta 1"), blob(b"delta 2"))),),
    signature=signature_of(SPEC),
    feature_spec=SPEC,
    provenance=Provenance("0.1.0", "shop:MODEL", "abc"),
    metrics={"auc": 0.75},
)
