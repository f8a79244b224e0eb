"""Many photographs: areas as they come, bad files with their reasons, in bounded memory.

python examples/archive.py [FOLDER]
"""

import sys
from pathlib import Path

from retq_hub import Pipeline

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
pipe = Pipeline.from_pretrained(["idrid-disc", "idrid-lesions"])

n_bad = 0
for one in pipe.map(sorted(folder.rglob("*.jpg"))):  # pool="ray": by processes on Ray
    if one.result is None:
        n_bad += 1
        print(one.error)
        continue
    areas = {name: f"{found.area:.2%}" for name, found in one.result.segmentations.items()}
    print(Path(str(one.source)).name, areas)
print(f"{n_bad} could not be used")
print("Research software, not a medical device.")
