"""One backbone pass: what is marked, and how the whole photograph is graded.

python examples/grading.py [IMAGE...]
"""

import sys
from pathlib import Path

from retq_hub import Pipeline

images = sys.argv[1:] or [str(Path(__file__).with_name("retina.jpg"))]
pipe = Pipeline.from_pretrained(["idrid-disc", "idrid-lesions", "idrid-dr-grade"])

for image in images:
    result = pipe(image)
    print(Path(image).name)
    for name, found in result.segmentations.items():
        print(f"  {name}: {found.area:.2%} of the photograph")
    for name, grading in result.classifications.items():
        chances = ", ".join(f"{chance:.0%}" for chance in grading.probabilities)
        print(f"  {name}: {grading.prediction} ({chances})")
        if grading.attention is not None:
            y, x = divmod(int(grading.attention.argmax()), grading.attention.shape[1])
            print(f"    looked at most: column {x}, row {y}")
print("Research software, not a medical device.")
