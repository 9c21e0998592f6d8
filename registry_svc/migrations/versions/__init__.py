"""The steps, in order. One that was released is never changed; the tables it makes are written out in it."""
