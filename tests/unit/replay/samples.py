"""A tiny MovieLens copy, as the package lays it out."""

from pathlib import Path

from martlet.replay.datasets import FILES

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t300\n2\t11\t3\t100\n1\t11\t4\t200\n"
USER = "user_id\tage\tgender\toccupation\tzip\n1\t24\tM\tartist\t00001\n2\t51\tF\tother\t00002\n"
ITEM = "item_id\ttitle\tyear\tclass\n10\tHeat\t1995\tAction Crime\n11\tToy Story\t1995\tAnimation\n"


def write_copy(folder: Path) -> Path:
    for name, text in zip(FILES, (INTER, USER, ITEM), strict=True):
        (folder / name).write_text(text)
    return folder
