"""Writes the Parquet files of this folder, as pandas, Polars and pyarrow write them.

    python -m venv venv && venv/bin/pip install pandas==3.1.1 pyarrow==26.0.1 polars==2.1.0
    venv/bin/python make_parquet.py
"""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HOURS = 6
start = datetime.datetime(2024, 3, 31)  # Europe/Paris turns its clocks at 01:00 UTC
naive = [start + datetime.timedelta(hours=h) for h in range(HOURS)]

# pandas: two series by a categorical key, naive nanoseconds, doubles with a null, small integers, snappy.
frame = pd.DataFrame(
    {
        "meter": pd.Categorical(["a", "b"] * HOURS),
        "time": pd.Series(np.repeat(np.array(naive, dtype="datetime64[ns]"), 2)),
        "kw": [0.25 * i if i != 5 else None for i in range(2 * HOURS)],
        "count": np.arange(2 * HOURS, dtype="int16"),
        "open": [i % 3 == 0 for i in range(2 * HOURS)],
    }
)
frame.to_parquet("pandas.parquet", index=False, compression="snappy")

# pandas: the time is the index, with a zone, in milliseconds; floats; two row groups.
index = pd.DatetimeIndex(np.array(naive, dtype="datetime64[ms]"), name="time").tz_localize("UTC")
indexed = pd.DataFrame({"kw": np.linspace(1, 2, HOURS, dtype="float32")}, index=index.tz_convert("Europe/Paris"))
indexed.to_parquet("indexed.parquet", row_group_size=4, compression="gzip")

# Polars: microseconds, zstd, strings, unsigned integers, NaN beside null.
pl.DataFrame(
    {
        "meter": ["a"] * HOURS,
        "time": pl.Series(naive, dtype=pl.Datetime("us", "UTC")),
        "kw": pl.Series([1.5, float("nan"), None, 2.5, float("inf"), 3.5], dtype=pl.Float64),
        "count": pl.Series(range(HOURS), dtype=pl.UInt64),
    }
).write_parquet("polars.parquet", compression="zstd")

# pyarrow: what else there is: dates, decimals, half floats, old 96-bit times, large strings, lz4.
days = [datetime.date(2024, 3, 28) + datetime.timedelta(days=d) for d in range(HOURS)]
table = pa.table(
    {
        "meter": pa.array(["é \"x\"\\"] * HOURS, pa.large_string()),
        "day": pa.array(days, pa.date32()),
        "price": pa.array([decimal.Decimal(f"{d}.05") for d in range(HOURS)], pa.decimal128(9, 2)),
        "half": pa.array(np.arange(HOURS, dtype="float16") / 4),
        "list": pa.array([[d] for d in range(HOURS)]),
        "clock": pa.array([datetime.time(d) for d in range(HOURS)], pa.time64("us")),
        "bytes": pa.array([b"\xff\xfe"] * HOURS, pa.binary()),
        "text": pa.array(["1.5", "", "NA", "2.5", "x", None]),
    }
)
pq.write_table(table, "arrow.parquet", compression="lz4")
old = pa.table({"time": pa.array(naive, pa.timestamp("us")), "kw": pa.array([1.0] * HOURS)})
pq.write_table(old, "int96.parquet", use_deprecated_int96_timestamps=True, compression="none")
