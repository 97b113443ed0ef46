"""Triton's HTTP protocol with binary tensors behind a JSON header, and a multipart upload to a gateway before it."""

import io
import json
import struct

from locust import HttpUser, SequentialTaskSet, task
from rounds import few

SHAPE = (1, 16)


def infer_body(values):
    """Return the body of a request with one binary FP32 tensor, and the length of its JSON part."""
    raw = struct.pack(f"<{len(values)}f", *values)
    tensor = {"name": "INPUT0", "shape": SHAPE, "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    wanted = {"name": "OUTPUT0", "parameters": {"binary_data": True}}
    header = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    return header + raw, len(header)


class Inference(SequentialTaskSet):
    @task
    def ready(self):
        self.client.get("/v2/health/ready")

    @task
    def infer(self):
        body, header_length = infer_body([float(number) for number in range(16)])
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(header_length),
        }
        with self.client.post(
            "/v2/models/doubler/infer", data=body, headers=headers, name="/v2/models/[model]/infer", catch_response=True
        ) as response:
            split = int(response.headers.get("Inference-Header-Content-Length", 0))
            numbers = struct.unpack("<16f", response.content[split:])
            if numbers[3] != 6.0:
                response.failure(f"3 was doubled to {numbers[3]}")

    @task
    def upload(self):
        picture = io.BytesIO(b"\x89PNG" + bytes(2000))
        self.client.post(
            "/upload", files={"image": ("picture.png", picture, "image/png")}, data={"model": "doubler", "top_k": "3"}
        )


class TritonUser(HttpUser):
    tasks = [Inference]
    wait_time = few(6)
