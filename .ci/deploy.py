"""What must hold of a deployment: `bash .ci/deploy` runs this beside MiniStack, after `sam build`.

template.yaml is deployed as it is, used (tests/tests/deployed.rs), deployed again unchanged, deployed with other
parameters, deleted, and the tables that stay taken over by a new stack; the roles are compared with the calls that were
made.

What MiniStack does otherwise than AWS is made up for here, and nowhere hidden. It ignores the OpenAPI body that the SAM
transform makes of an HTTP API, so the routes are made from that body through API Gateway's own API. It asks for a
permission sqs:SendMessageBatch, which does not exist: on AWS a batch needs sqs:SendMessage (Amazon SQS API permissions:
Actions and resource reference).
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3

ENDPOINT = os.environ["ANNALS_TEST_AWS_ENDPOINT"]
ACCOUNT, REGION, STACK = "000000000000", "us-east-1", "annals"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
TABLES = {"LogTable", "RegistryTable"}
FUNCTIONS = ["ApiFunction", "TestConnectionFunction", "ShipperFunction"]
SECONDS_PER_CALL = 300

# Calls that Lambda itself makes in a function's name, whether or not the function does. MiniStack does without.
MADE_BY_LAMBDA = {
    "logs:CreateLogStream", "logs:PutLogEvents",
    "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage",
}
# Granted for what the run does not come by.
NOT_REACHED = {
    # The anchor of a log is read where all of its events have expired.
    ("TestConnectionFunction", "dynamodb:GetItem", "LogTable"),
}
# What a transaction is allowed by, beside the actions of the same names.
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
              "Get": "GetItem"}


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, **CREDENTIALS)


@contextlib.contextmanager
def step(name):
    begun = time.monotonic()
    print(f"-- {name}", flush=True)
    yield
    print(f"-- {name}: {time.monotonic() - begun:.1f} s", flush=True)


def check(holds, what):
    if not holds:
        sys.exit(f"deploy: {what}")


def sam(command, *arguments):
    """Runs the SAM CLI against MiniStack. Gives what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                    "SAM_CLI_TELEMETRY": "0"}
    line = [".venv-sam/bin/sam", command, "--stack-name", STACK, "--region", REGION, *arguments]
    done = subprocess.run(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS_PER_CALL)
    check(done.returncode == 0, f"{' '.join(line)}:\n{done.stdout}")
    return done.stdout


class Deployment:
    """The stack, as the last `sam deploy` left it."""

    def __init__(self, token):
        self.token = token
        self.cloudformation = client("cloudformation")

    def deploy(self, **parameters):
        """Deploys what `sam build` made, by samconfig.toml but for the confirmation. Gives what sam printed."""
        parameters = {
            "PlatformTokenSha256": hashlib.sha256(self.token.encode()).hexdigest(),
            "Architecture": os.environ["ARCHITECTURE"],
        } | parameters
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        printed = sam("deploy", "--no-confirm-changeset", "--parameter-overrides", *overrides)
        self.processed = self.cloudformation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
        if isinstance(self.processed, str):
            self.processed = json.loads(self.processed)
        resources = self.cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.physical = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        stack = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        self.status = stack["StackStatus"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return printed

    def routes(self):
        """What the processed template's HTTP API routes, as method and path, and to which function."""
        for path, methods in self.processed["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
            for method, operation in methods.items():
                uri = json.dumps(operation["x-amazon-apigateway-integration"]["uri"])
                yield f"{method.upper()} {path}", re.search(r"\$\{(\w+)\.Arn\}", uri).group(1)

    def make_routes(self):
        """Makes the routes that MiniStack left out. CloudFormation makes them on AWS."""
        gateway, api = client("apigatewayv2"), self.physical["Api"]
        check(gateway.get_routes(ApiId=api)["Items"] == [], "MiniStack makes routes now: this is not needed any more")
        integrations = {}
        for name in FUNCTIONS:
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.physical[name]}"
            made = gateway.create_integration(ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=arn,
                                              PayloadFormatVersion="2.0")
            integrations[name] = made["IntegrationId"]
        for route, function in self.routes():
            gateway.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integrations[function]}")

    @contextlib.contextmanager
    def batches_allowed(self):
        """Lets the shipper send batches, where the template lets it send messages to the same queue."""
        iam, role = client("iam"), self.physical["ShipperRole"]
        statement = {"Effect": "Allow", "Action": "sqs:SendMessageBatch",
                     "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.outputs['ShipQueueUrl'].rsplit('/', 1)[1]}"}
        check(("sqs:SendMessage", "ShipQueue") in granted(self, "ShipperFunction"), "the shipper may send no messages")
        iam.put_role_policy(RoleName=role, PolicyName="batches",
                            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        yield
        iam.delete_role_policy(RoleName=role, PolicyName="batches")

    def call(self, method, path, body=None):
        """Calls the API as the platform. Gives status and body."""
        url = f"{ENDPOINT}/_aws/execute-api/{self.physical['Api']}/$default{path}"
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = urllib.request.Request(url, method=method, headers=headers, data=body and json.dumps(body).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)


def check_permissions(deployment):
    """Whether the gateway, the rules and nobody else may invoke the functions. MiniStack lets anybody do so."""
    invoking = {}
    for resource in deployment.processed["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Permission":
            permission = resource["Properties"]
            check("SourceArn" in permission, f"anybody's {permission['Principal']} may invoke: {permission}")
            invoking.setdefault(permission["FunctionName"]["Ref"], []).append(permission["Principal"])
    routed = {name: sum(function == name for _, function in deployment.routes()) for name in FUNCTIONS}
    expected = {name: ["apigateway.amazonaws.com"] * routed[name] for name in FUNCTIONS}
    expected["ShipperFunction"] = ["events.amazonaws.com"] * 2
    check(invoking == expected, f"who may invoke what: {invoking}")


def written(deployment, function):
    """The lines that a function logged."""
    group = deployment.physical[function.replace("Function", "LogGroup")]
    pages = client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"].rstrip() for page in pages for event in page["events"]]


def check_logs(deployment):
    """Whether each function logs into its own group, and no tokens."""
    for name in FUNCTIONS:
        log = "\n".join(written(deployment, name))
        check(log, f"{name} has logged nothing")
        check(deployment.token not in log and not re.search(r"annals_[0-9a-zA-Z]{8}", log), f"{name} logs tokens:\n{log}")
    for message in ["planned", "maintained"]:
        check(any(f'"{message}"' in line for line in written(deployment, "ShipperFunction")), f"nothing was {message}")


def calls_of(function, role):
    """The calls that a function made, from MiniStack's CloudTrail, which knows who by the session's key alone."""
    # As ministack.core.lambda_runtime.execution_credentials makes it.
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    key = "ASIA" + hashlib.sha256(f"{arn}:{role}".encode()).hexdigest()[:16].upper()
    calls, end = {}, None
    while True:
        # Fifty at a time, the newest first, without a token to go on with: by the time of the oldest.
        asked = {"LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key}], "MaxResults": 50}
        if end is not None:
            asked["EndTime"] = end
        scope = f"test/20261123/{REGION}/cloudtrail/aws4_request"
        request = urllib.request.Request(ENDPOINT, data=json.dumps(asked).encode(), headers={
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
            "x-amz-date": "20261123T000000Z",
            "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0",
        })
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            events = json.load(answer)["Events"]
        fresh = [event for event in events if event["EventId"] not in calls]
        if not fresh:
            return list(calls.values())
        calls |= {event["EventId"]: event for event in fresh}
        end = min(event["EventTime"] for event in fresh)


def exercised(deployment, function):
    """What a function's role was asked for, as action and logical resource."""
    logical = {physical: name for name, physical in deployment.physical.items()}
    role = deployment.outputs[function.replace("Function", "RoleArn")]
    found = set()
    for event in calls_of(deployment.physical[function], role):
        action, event = event["EventName"], json.loads(event["CloudTrailEvent"])
        service = event["eventSource"].split(".")[0]
        asked = event["requestParameters"] or {}
        if service == "sts":
            found.add((f"sts:{asked['Action']}", "customers' roles"))
        elif service == "sqs":
            found.add((f"sqs:{action.removesuffix('Batch')}", logical[asked["QueueUrl"]]))
        elif action == "TransactWriteItems":
            for item in asked["TransactItems"]:
                [(kind, item)] = item.items()
                found.add((f"dynamodb:{TRANSACTED[kind]}", logical[item["TableName"]]))
        elif action in ["BatchGetItem", "BatchWriteItem"]:
            found |= {(f"dynamodb:{action}", logical[table]) for table in asked["RequestItems"]}
        else:
            index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
            found.add((f"{service}:{action}", logical[asked["TableName"]] + index))
    check(found, f"no call of {function} was recorded")
    return found


def granted(deployment, function):
    """What a function's role allows, as action and logical resource, as the processed template says."""
    resources = deployment.processed["Resources"]
    role = resources[resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    documents = [policy["PolicyDocument"] for policy in role["Policies"]]
    documents += [resources[managed["Ref"]]["Properties"]["PolicyDocument"]
                  for managed in role.get("ManagedPolicyArns", [])]
    found = set()
    for statement in (statement for document in documents for statement in document["Statement"]):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resource = statement["Resource"]
        if "Fn::GetAtt" in resource:
            name = resource["Fn::GetAtt"][0]
        elif resource["Fn::Sub"].endswith(":role/${CustomerRolePattern}"):
            name = "customers' roles"
        else:
            name = resource["Fn::Sub"].replace("${", "").replace(".Arn}", "")
        found |= {(action, name) for action in actions}
    return found


def check_least_privilege(deployment):
    """Whether each role grants what its function does, and no more. What it does beyond that MiniStack refused."""
    faults = []
    for function in FUNCTIONS:
        done, allowed = exercised(deployment, function), granted(deployment, function)
        print(f"   {function}: " + ", ".join(f"{action} {name}" for action, name in sorted(done)))
        expected = {(action, name) for action, name in allowed
                    if action not in MADE_BY_LAMBDA and (function, action, name) not in NOT_REACHED}
        faults += [f"{function} was never seen to need {action} on {name}" for action, name in sorted(expected - done)]
        faults += [f"{function} is not granted {action} on {name}" for action, name in sorted(done - allowed)]
    check(not faults, "\n".join(faults))


def table_names():
    return set(client("dynamodb").list_tables()["TableNames"])


def everything():
    """What is there of the kinds that the template makes, but for the tables."""
    return {
        "functions": client("lambda").list_functions()["Functions"],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "alarms": client("cloudwatch").describe_alarms()["MetricAlarms"],
        "rules": client("events").list_rules()["Rules"],
        "roles": [role for role in client("iam").list_roles()["Roles"] if STACK in role["RoleName"]],
        "policies": client("iam").list_policies(Scope="Local")["Policies"],
        "APIs": client("apigatewayv2").get_apis()["Items"],
        "log groups": [group for group in client("logs").describe_log_groups()["logGroups"]
                       if group["logGroupName"].startswith(f"/aws/lambda/{STACK}-")],
        "mappings": client("lambda").list_event_source_mappings()["EventSourceMappings"],
    }


def take_over(deployment, tables):
    """Makes a stack of tables that there are already, as infra/docs/deploying.md says."""
    cloudformation = deployment.cloudformation
    with open("template.yaml", encoding="utf-8") as template:
        template = template.read()
    template = template[template.index("Resources:\n"):template.index("  # Delivery work.")]
    imported = [{"ResourceType": "AWS::DynamoDB::Table", "LogicalResourceId": name,
                 "ResourceIdentifier": {"TableName": table}} for name, table in tables.items()]
    names = {"StackName": STACK, "ChangeSetName": "take-over"}
    cloudformation.create_change_set(**names, ChangeSetType="IMPORT", TemplateBody=template, ResourcesToImport=imported)
    cloudformation.get_waiter("change_set_create_complete").wait(**names, WaiterConfig={"Delay": 1})
    cloudformation.execute_change_set(**names)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


def record_calls():
    request = urllib.request.Request(f"{ENDPOINT}/_ministack/config", method="POST",
                                     data=b'{"cloudtrail._recording_enabled": true}')
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        check(json.load(answer)["applied"], "MiniStack records no calls")


def main():
    deployment = Deployment(token=f"annals_platform_{secrets.token_hex(24)}")
    organisation = {"name": "Kept", "plan": "enterprise"}

    with step("sam deploy"):
        deployment.deploy()
        check(deployment.status == "CREATE_COMPLETE", deployment.status)
        check_permissions(deployment)
        deployment.make_routes()
        print("   " + deployment.outputs["ApiUrl"])

    with step("the deployed stack, used"):
        record_calls()
        tests = ["cargo", "test", "--package", "annals-tests", "--test", "deployed"]
        environment = os.environ | {"ANNALS_TEST_STACK": json.dumps(deployment.outputs),
                                    "ANNALS_TEST_PLATFORM_TOKEN": deployment.token}
        with deployment.batches_allowed():
            passed = subprocess.run(tests, env=environment).returncode == 0
        if not passed:
            for name in FUNCTIONS:
                print(f"   the last lines of {name}:", *written(deployment, name)[-40:], sep="\n")
            sys.exit("deploy: the stack does not do what it should")
        check_logs(deployment)
        dead = client("sqs").get_queue_attributes(QueueUrl=deployment.outputs["ShipDeadLetterQueueUrl"],
                                                  AttributeNames=["ApproximateNumberOfMessages"])
        check(dead["Attributes"]["ApproximateNumberOfMessages"] == "0", "messages could not be processed")

    with step("roles grant what is done"):
        check_least_privilege(deployment)

    with step("sam deploy, nothing changed"):
        deployment.call("PUT", "/organisations/kept", organisation)
        before = deployment.physical
        printed = deployment.deploy()
        check("No changes to deploy" in printed, f"something was deployed:\n{printed}")
        check((deployment.physical, deployment.status) == (before, "CREATE_COMPLETE"), "something was changed")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "it does not work any more")

    with step("sam deploy, other parameters"):
        deployment.deploy(LogRetentionDays=7, TestObjectName="other.txt")
        check(deployment.status == "UPDATE_COMPLETE", deployment.status)
        check(deployment.physical == before, "something was replaced")
        group = client("logs").describe_log_groups(logGroupNamePrefix=deployment.physical["ApiLogGroup"])
        check(group["logGroups"][0]["retentionInDays"] == 7, "logs are kept as long as before")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "it does not work any more")

    with step("sam delete"):
        tables = {deployment.physical[name] for name in TABLES}
        sam("delete", "--no-prompts")
        left = {kind: things for kind, things in everything().items() if things}
        check(not left, f"still there: {left}")
        check(table_names() == tables, f"the tables outlive the stack, and nothing else: {table_names()}")
        kept = client("dynamodb").scan(TableName=before["RegistryTable"])["Items"]
        check(any("kept" in json.dumps(item) for item in kept), "the tables are empty")

    with step("a new stack that takes over the tables"):
        take_over(deployment, {name: before[name] for name in TABLES})
        deployment.deploy()
        deployment.make_routes()
        check(deployment.status == "UPDATE_COMPLETE", deployment.status)
        check(all(deployment.physical[name] == before[name] for name in TABLES), "it has other tables")
        check(table_names() == tables, f"there are more tables: {table_names()}")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "what was kept is not there")
        sam("delete", "--no-prompts")
        check(table_names() == tables, f"the tables outlive this stack, too: {table_names()}")


if __name__ == "__main__":
    main()
