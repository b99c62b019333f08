import csv
import io
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.loss_logs import read_log

from stylebatch.output.loss_log import encode_log
from stylebatch.transfer.problem import Row

ROW = Row(
    evaluation=3, level=1, total=0.5, content=0.25, style=0.125, tv=0.0, accepted=True, seconds=1.5
)
# What the engine hands over: float32 as Python numbers.
losses = st.floats(width=32, allow_nan=False)


@given(st.lists(st.tuples(losses, losses, losses, losses, st.booleans()), max_size=4))
def test_a_log_gives_float32_losses_back_exactly(values: list[tuple[float, ...]]) -> None:
    written = [
        ROW._replace(total=a, content=b, style=c, tv=d, accepted=bool(e))
        for a, b, c, d, e in values
    ]
    read = read_log(encode_log(written))
    assert [as_float32(row) for row in read] == [as_float32(row) for row in written]


def as_float32(row: Row) -> tuple[object, ...]:
    return tuple(np.float32(cell) if isinstance(cell, float) else cell for cell in row)


def test_a_log_is_the_csv_that_the_design_names() -> None:
    text = encode_log([ROW, ROW._replace(evaluation=4, accepted=False)]).decode()
    assert text == (
        "evaluation,level,total,content,style,tv,accepted,seconds\n"
        "3,1,0.5,0.25,0.125,0,1,1.500\n"
        "4,1,0.5,0.25,0.125,0,0,1.500\n"
    )
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2


def test_a_log_without_rows_has_its_header() -> None:
    assert read_log(encode_log([])) == []


def test_a_diverged_evaluation_is_written_as_what_it_is() -> None:
    (read,) = read_log(encode_log([ROW._replace(total=math.nan, style=math.inf)]))
    assert math.isnan(read.total)
    assert read.style == math.inf
