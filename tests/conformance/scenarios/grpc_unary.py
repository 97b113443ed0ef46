"""gRPC with a client of the file's own: an interceptor turns every unary call into a request event."""

import json
import os
import time

import grpc
import grpc.experimental.gevent as grpc_gevent
from locust import User, task
from rounds import few

grpc_gevent.init_gevent()


class RequestEvents(grpc.UnaryUnaryClientInterceptor):
    """Fires a request event for each call."""

    def __init__(self, environment):
        self.environment = environment

    def intercept_unary_unary(self, continuation, client_call_details, request):
        started = time.perf_counter()
        failure, length = None, 0
        response = continuation(client_call_details, request)
        try:
            length = len(response.result())
        except grpc.RpcError as error:
            failure = error.code().name
        self.environment.events.request.fire(
            request_type="grpc",
            name=client_call_details.method,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=length,
            response=response,
            exception=failure and RuntimeError(failure),
            context=None,
        )
        return response


class GrpcUser(User):
    abstract = True
    target = os.getenv("GRPC_TARGET", "localhost:50051")

    def __init__(self, environment):
        super().__init__(environment)
        self.channel = grpc.intercept_channel(grpc.insecure_channel(self.target), RequestEvents(environment))

    def on_stop(self):
        self.channel.close()


class ClassifierUser(GrpcUser):
    wait_time = few(5)

    def on_start(self):
        self.predict = self.channel.unary_unary("/iris.Classifier/Predict")
        self.explain = self.channel.unary_unary("/iris.Classifier/Explain")

    @task
    def classify(self):
        self.predict(json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode(), timeout=5)
        try:
            self.explain(b"{}", timeout=5)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
