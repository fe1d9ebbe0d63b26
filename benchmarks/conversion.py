"""How long does a conversion with global shuffle take, as a ratio to `cp` of the same bytes in the same run?

    make benchmarks

Writes a set of 200,000 records of 5 KB (1 GB), then, five times over: `cp` of the `.rec`, a dry run, a conversion, `verify` and
`inspect`, each with a warm page cache. Prints medians, the ratio to `cp`, what the dry run promised, the peak memory of all
processes of the conversion together, and the median of five `fr-prep --help`.
"""

import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import FR_PREP, make_parser, peak_memory, timed, write_set


def main() -> None:
    """Measures and prints."""
    options = make_parser(__doc__, images=200_000, rounds=5).parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, out = Path(name), Path(name, "out")
        num_bytes = write_set(folder, options.images)
        convert = [FR_PREP, "rec2tfrecord", name, str(out), "--seed", "1", "--quiet"]
        copies, conversions, checks, looks, promises = [], [], [], [], []
        for _ in range(options.rounds):
            copies.append(timed(["cp", str(folder / "train.rec"), str(folder / "copy.rec")]))
            (folder / "copy.rec").unlink()
            planned = subprocess.run([*convert, "--dry-run", "--json"], stdout=subprocess.PIPE, check=True)
            promises.append(json.loads(planned.stdout)["time"]["seconds"])
            conversions.append(timed(convert))
            checks.append(timed([FR_PREP, "verify", str(out), "--quiet"]))
            looks.append(timed([FR_PREP, "inspect", name]))
            shard_bytes = sum(shard.stat().st_size for shard in out.glob("*.tfrecord-*"))
            shutil.rmtree(out)
        memory = peak_memory(convert)
    copy, conversion, check = statistics.median(copies), statistics.median(conversions), statistics.median(checks)
    speed = options.images / conversion
    print(f"{options.images:,} records, {num_bytes / 1e9:.2f} GB, medians of {options.rounds}")
    print(f"  cp                    {copy:8.2f} s")
    print(f"  fr-prep rec2tfrecord  {conversion:8.2f} s, {conversion / copy:.1f} times cp, {speed:,.0f} records/s")
    promise = statistics.median(promises)
    print(f"    promised by --dry-run {promise:6.2f} s, {promise / conversion:.2f} of what it takes")
    print(f"  peak memory           {memory}")
    print(f"  fr-prep verify        {check:8.2f} s, {shard_bytes / 1e9 / check:.2f} GB/s")
    print(f"  fr-prep inspect       {statistics.median(looks):8.2f} s")
    print(f"  fr-prep --help        {statistics.median(timed([FR_PREP, '--help']) for _ in range(5)):8.2f} s")


if __name__ == "__main__":
    main()
