# SPDX-License-Identifier: Apache-2.0
"""The services that every gRPC server has: health and reflection, v1 and v1alpha."""
from google.protobuf import descriptor_pb2

import polarys_server  # noqa: F401  it makes grpc.health and grpc.reflection known
from grpc.health.v1 import health_pb2
from grpc.reflection.v1 import reflection_pb2
from grpc.reflection.v1alpha import reflection_pb2 as reflection_alpha_pb2
from polarys.v1 import kv_pb2

from world import bare, error_of

SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection", "polarys.v1.AdminService", "polarys.v1.BackupService",
            "polarys.v1.BulkService", "polarys.v1.KvService", "polarys.v1.QueryService",
            "polarys.v1.ReplicationService", "polarys.v1.TableService", "polarys.v1.TransactionService",
            "polarys.v1.WatchService"]
Status = health_pb2.HealthCheckResponse


def ask(stub, *requests, alpha=False):
    module = reflection_alpha_pb2 if alpha else reflection_pb2
    return list(stub.ServerReflectionInfo(iter([module.ServerReflectionRequest(**each) for each in requests])))


def files_of(answer):
    return [descriptor_pb2.FileDescriptorProto.FromString(each)
            for each in answer.file_descriptor_response.file_descriptor_proto]


def methods_listed(stub, alpha=False):
    """Every `package.Service/Method` that reflection describes."""
    listed = ask(stub, {"list_services": "*"}, alpha=alpha)[0].list_services_response.service
    methods = []
    for service in listed:
        files = files_of(ask(stub, {"file_containing_symbol": service.name}, alpha=alpha)[0])
        for file in files:
            for each in file.service:
                if f"{file.package}.{each.name}" == service.name:
                    methods += [f"{service.name}/{method.name}" for method in each.method]
    return methods


def health(world):
    for service in ["", *SERVICES]:
        got = world.health.Check(health_pb2.HealthCheckRequest(service=service))
        assert got.status == Status.SERVING, (service, got)
    bare(error_of(world.health.Check, health_pb2.HealthCheckRequest(service="polarys.v1.Kv")), "NOT_FOUND")


def health_watch(world):
    """A watch tells at once; of a service that is not known it says so and goes on."""
    for service, status in (("", Status.SERVING), ("polarys.v1.KvService", Status.SERVING),
                            ("nobody.v1.Service", Status.SERVICE_UNKNOWN)):
        watch = world.health.Watch(health_pb2.HealthCheckRequest(service=service))
        assert next(watch).status == status, service
        watch.rpc.cancel()
    watch = world.health.Watch(health_pb2.HealthCheckRequest(), timeout=1)
    assert next(watch).status == Status.SERVING
    assert error_of(lambda: next(watch)).code().name == "DEADLINE_EXCEEDED"


def reflection(world):
    """Both versions list the same services and give files with all that they import."""
    for stub, alpha in ((world.reflection, False), (world.reflection_alpha, True)):
        answers = ask(stub, {"host": "h", "list_services": ""}, {"file_containing_symbol": "polarys.v1.KvService"},
                      {"file_by_filename": "polarys/v1/bulk.proto"},
                      {"file_containing_symbol": "polarys.v1.KvService.Put"},
                      {"file_containing_symbol": "polarys.v1.Value.json"},
                      {"all_extension_numbers_of_type": "polarys.v1.Value"}, alpha=alpha)
        assert sorted(each.name for each in answers[0].list_services_response.service) == SERVICES, answers[0]
        assert answers[0].valid_host == "h" and answers[0].original_request.host == "h", answers[0]
        for answer, file in zip(answers[1:5], ("kv", "bulk", "kv", "common")):
            names = [each.name for each in files_of(answer)]
            assert f"polarys/v1/{file}.proto" in names and "google/protobuf/timestamp.proto" in names, names
        assert answers[5].all_extension_numbers_response.base_type_name == "polarys.v1.Value", answers[5]
        wrong = ask(stub, {"file_containing_symbol": "nobody.Thing"}, {"file_by_filename": "none.proto"},
                    {"all_extension_numbers_of_type": "nobody.Thing"},
                    {"file_containing_extension": {"containing_type": "polarys.v1.Value", "extension_number": 5}},
                    {}, alpha=alpha)
        codes = [each.error_response.error_code for each in wrong]
        assert codes == [5, 5, 5, 5, 3] and all(each.error_response.error_message for each in wrong), wrong
    assert methods_listed(world.reflection) == methods_listed(world.reflection_alpha, alpha=True)


def reflection_describes_what_is_served(world):
    """The descriptors are those that this test was built with."""
    files = files_of(ask(world.reflection, {"file_by_filename": "polarys/v1/kv.proto"})[0])
    served = [each for each in files if each.name == "polarys/v1/kv.proto"][0]
    built = descriptor_pb2.FileDescriptorProto()
    kv_pb2.DESCRIPTOR.CopyToProto(built)
    for each in (served, built):
        each.ClearField("source_code_info")
        for message in each.message_type:
            for field in message.field:
                field.ClearField("json_name")
    assert [(each.name, [field.name for field in each.field]) for each in served.message_type] == \
        [(each.name, [field.name for field in each.field]) for each in built.message_type]
    assert served.service == built.service, served.service


CASES = [health, health_watch, reflection, reflection_describes_what_is_served]
