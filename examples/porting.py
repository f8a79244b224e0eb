"""Carry a query to another backbone, with images that nobody has labelled.

    python examples/porting.py idrid-disc retfound-green photographs/ green-disc

The query's own backbone and the other one must be here (`retq backbones fetch`). At least ten
photographs are needed, of the kind that the query was trained on.
"""

import sys
from pathlib import Path

from retq_hub import Pipeline, Query, port

query, backbone, images, output = sys.argv[1:]
name = Path(output).name
done = port(query, backbone, Path(images), Path(output), name=name)

source = Query.from_pretrained(query).manifest
print(f"{source.name} {source.version} was made for {source.backbone.id},")
print(f"{name} is for {done.manifest.backbone.id}. On images that had no part in it they agree:")
for one in done.manifest.agreement or ():
    for figure, found in one.values.items():
        low, high = found.ci95
        print(f"  {one.target}: {figure} {found.value:.3f} ({low:.3f} - {high:.3f})")

photograph = sorted(Path(images).iterdir())[0]
found = Pipeline.from_pretrained([Path(output)])(photograph)[name]
print(f"In {photograph.name} it marks {found.area:.2%} of the image.")
