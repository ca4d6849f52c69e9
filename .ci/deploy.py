"""Checks a deployment: `bash .ci/deploy` runs this while MiniStack runs, after `sam build`.

Deploys the unchanged template.yaml, uses the stack (the test executable `deployed`), deploys it again without changes and with
other parameters, deletes it, and imports the remaining tables into a new stack. Brings both tables back from copies, as a drill.
Compares the roles with the calls that the functions made. Runs the commands of deploying.md, upgrading.md, operations.md and
restoring.md as written, but with version 1 of the AWS CLI, the only one on PyPI; options that only version 2 has are removed. Does
what a person does: answers `sam deploy --guided` in a terminal, with the default of each question that has one, and changes
parameters in samconfig.toml, which is restored at the end.

Works around three differences between MiniStack and AWS. Its CloudFormation knows no composite alarms: .ci/start-ministack.py adds them. It
ignores the OpenAPI body that SAM generates for an HTTP API, so
this creates the routes of that body through API Gateway's API. MiniStack requires a permission sqs:SendMessageBatch, which does
not exist: on AWS a batch needs sqs:SendMessage (Amazon SQS API permissions: Actions and resource reference).
"""

import contextlib
import datetime
import hashlib
import json
import os
import pty
import re
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3

ENDPOINT = os.environ["ANNALS_TEST_AWS_ENDPOINT"]
ACCOUNT, REGION, STACK = "000000000000", "us-east-1", "annals"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
TABLES = {"LogTable", "RegistryTable"}
FUNCTIONS = ["ApiFunction", "ConsoleFunction", "TestConnectionFunction", "ShipperFunction"]
SECONDS_PER_CALL = 900  # the longest, `sam build` on a busy machine
SAMCONFIG = Path("samconfig.toml")

# Calls that Lambda itself makes with a function's role. MiniStack does not make them.
MADE_BY_LAMBDA = {
    "logs:CreateLogStream", "logs:PutLogEvents",
    "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage",
}
# Types that cannot have tags, and types that SAM does not tag: CloudFormation tags those from the stack.
WITHOUT_TAGS = {
    "AWS::ApiGatewayV2::ApiMapping", "AWS::IAM::ManagedPolicy", "AWS::Lambda::Permission", "AWS::Logs::MetricFilter",
    "AWS::Route53::RecordSet", "AWS::Events::Rule", "AWS::Lambda::EventSourceMapping", "AWS::SQS::QueuePolicy",
}
TAG = {"Key": "Application", "Value": "annals"}
CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/0a1b2c3d" # as in deploying.md
# Blocks of commands that are not run, with the reason.
NOT_RUN = {
    ("upgrading", "release"): "the first command runs this script",
}
# The conditions that decide on permissions and routes, as far as the deployed parameters meet them.
CONDITIONS_MET = {"SignsCheckpoints"}
NO_VALUE = {"Ref": "AWS::NoValue"}
# The action that allows each operation of a transaction.
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


def environment_of_clis():
    """The environment in which the CLIs call MiniStack."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return environment | {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                          "AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0"}


def try_sam(command, *arguments):
    """Runs the SAM CLI against MiniStack. Returns whether it succeeded, and its output."""
    line = [".venv-sam/bin/sam", command, "--stack-name", STACK, "--region", REGION, *arguments]
    done = subprocess.run(line, env=environment_of_clis(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS_PER_CALL)
    return done.returncode == 0, done.stdout


def sam(command, *arguments):
    """Runs the SAM CLI against MiniStack. Returns its output."""
    succeeded, printed = try_sam(command, *arguments)
    check(succeeded, f"sam {command} {' '.join(arguments)}:\n{printed}")
    return printed


class Documents:
    """The commands in the documents for operators."""

    BLOCK = re.compile(r"^```sh *([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    # Version 1 of the AWS CLI always takes payloads as text, and not all of its commands use AWS_ENDPOINT_URL.
    AWS = """#!/usr/bin/env bash
arguments=()
while (($#)); do
  if [[ $1 == --cli-binary-format ]]; then shift; else arguments+=("$1"); fi
  shift
done
exec {awscli}/aws --endpoint-url "$AWS_ENDPOINT_URL" "${{arguments[@]}}"
"""
    def __init__(self, folder):
        self.texts = {name: Path(f"infra/docs/{name}.md").read_text(encoding="utf-8")
                      for name in ["deploying", "operations", "restoring", "upgrading"]}
        self.blocks, self.folder = {}, Path(folder)
        for document, text in self.texts.items():
            for number, (name, block) in enumerate(self.BLOCK.findall(text), 1):
                key = (document, name or number)
                check(key not in self.blocks, f"there are two blocks named {key}")
                self.blocks[key] = block
        here = Path.cwd()
        aws = self.folder / "aws"
        aws.write_text(self.AWS.format(awscli=here / ".venv-awscli/bin"), encoding="utf-8")
        aws.chmod(0o755)
        # cargo-lambda uses the zig of the first python on the PATH.
        path = [self.folder, here / ".venv-build/bin", here / ".venv-sam/bin", os.environ["PATH"]]
        self.environment = environment_of_clis() | {"PATH": ":".join(map(str, path))}
        self.left = set(self.blocks) - set(NOT_RUN)
        check(set(NOT_RUN) <= set(self.blocks), f"one of these blocks does not exist: {set(NOT_RUN)}")

    def run(self, script):
        """Runs a script, which must not ask anything. Returns its output."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS_PER_CALL)
        check(done.returncode == 0, f"{script}\n{done.stdout}")
        return done.stdout

    def block(self, document, *names, change=lambda script: script):
        """Runs blocks of a document in one shell."""
        self.left -= {(document, name) for name in names}
        return self.run(change("".join(self.blocks[document, name] for name in names)))

    def converse(self, document, *names, answers, change=lambda script: script):
        """Runs blocks of a document in a terminal. Answers each question as `answers` says, by its text, and otherwise with
        Enter. Returns the output."""
        self.left -= {(document, name) for name in names}
        script = change("".join(self.blocks[document, name] for name in names))
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe("bash", ["bash", "-euo", "pipefail", "-c", script], self.environment)
        printed, answered, deadline = "", set(), time.monotonic() + SECONDS_PER_CALL
        while True:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                sys.exit(f"deploy: no end after {SECONDS_PER_CALL} s:\n{printed}")
            # A question is a line without an end, behind which nothing follows.
            if not select.select([terminal], [], [], 0.5)[0]:
                question = re.search(r"^\s*([^\n\[\]:]+?)(?: \[([^\n]*)\])?: $", printed.rsplit("\n", 1)[-1])
                if question:
                    text, default = question.groups()
                    check(default is not None or text in answers, f"this question has no default: {text}\n{printed}")
                    answered.add(text)
                    os.write(terminal, (answers.get(text, "") + "\n").encode())
                    printed += "\n"
                continue
            try:
                read = os.read(terminal, 65536)
            except OSError:  # how a terminal says that all programs in it have ended
                read = b""
            if not read:
                break
            printed += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read.decode(errors="replace")).replace("\r", "")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        check(status == 0, f"{script}\n{printed}")
        check(set(answers) <= answered, f"never asked: {set(answers) - answered}\n{printed}")
        return printed

    def spans(self, document):
        """The inline commands in a document's text."""
        return re.findall(r"`(aws [^`]+)`", self.BLOCK.sub("", self.texts[document]))

    def parameters(self, document, name):
        """The parameters in a block of text, as in samconfig.toml."""
        block = re.search(rf"^```text {name}\n(.*?)^```$", self.texts[document], re.MULTILINE | re.DOTALL)[1]
        return dict(re.findall(r'(\w+)=\\"([^"\\]*)\\"', block))

    def names(self, document, heading):
        """The names in the first column of the tables below a heading."""
        section = self.texts[document].split(f"\n## {heading}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
        return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def configure(parameters):
    """Sets parameters in samconfig.toml, as a person does in an editor."""
    text = SAMCONFIG.read_text(encoding="utf-8")
    for name, value in parameters.items():
        text, changed = re.subn(rf'(\b{name}=\\")[^"\\]*', lambda found, value=value: found[1] + str(value), text)
        check(changed == 1, f"samconfig.toml contains {name} {changed} times:\n{text}")
    SAMCONFIG.write_text(text, encoding="utf-8")


class Deployment:
    """The stack in the state of the last `sam deploy`."""

    def __init__(self, token):
        self.token = token
        self.answers = {"Parameter PlatformTokenSha256": hashlib.sha256(token.encode()).hexdigest(),
                        "Parameter Architecture": os.environ["ARCHITECTURE"], "Deploy this changeset?": "y"}
        self.cloudformation = client("cloudformation")

    def deploy(self, **parameters):
        """Changes parameters in samconfig.toml and deploys the output of `sam build`. Returns sam's output."""
        configure(parameters)
        printed = sam("deploy", "--no-confirm-changeset")
        self.read()
        return printed

    def read(self):
        """Reads the current state of the stack."""
        self.processed = self.cloudformation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
        if isinstance(self.processed, str):
            self.processed = json.loads(self.processed)
        resources = self.cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.physical = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        stack = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        self.status, self.tags = stack["StackStatus"], stack["Tags"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def routes(self):
        """The routes of the processed template: each as method and path, with its function."""
        for path, methods in self.processed["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
            methods = chosen(methods)
            if methods == NO_VALUE:
                continue
            for method, operation in methods.items():
                uri = json.dumps(operation["x-amazon-apigateway-integration"]["uri"])
                method = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
                route = "$default" if operation.get("isDefaultRoute") else f"{method} {path}"
                yield route, re.search(r"\$\{(\w+)\.Arn\}", uri).group(1)

    def create_routes(self):
        """Creates the routes, which CloudFormation creates on AWS and MiniStack does not."""
        gateway, api = client("apigatewayv2"), self.physical["Api"]
        check(gateway.get_routes(ApiId=api)["Items"] == [], "MiniStack creates routes now: remove this workaround")
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
        """Allows the shipper to send batches if the template allows it to send messages to the same queue."""
        iam, role = client("iam"), self.physical["ShipperRole"]
        statement = {"Effect": "Allow", "Action": "sqs:SendMessageBatch",
                     "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.outputs['ShipQueueUrl'].rsplit('/', 1)[1]}"}
        check(("sqs:SendMessage", "ShipQueue") in granted(self, "ShipperFunction"), "the shipper may send no messages")
        iam.put_role_policy(RoleName=role, PolicyName="batches",
                            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        yield
        iam.delete_role_policy(RoleName=role, PolicyName="batches")

    def call(self, method, path, body=None):
        """Calls the API with the platform token. Returns status and body."""
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
    """Checks that only the gateway and the rules may invoke the functions. MiniStack does not enforce this."""
    invoking = {}
    for resource in deployment.processed["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Permission" and resource.get("Condition") in CONDITIONS_MET | {None}:
            permission = resource["Properties"]
            check("SourceArn" in permission, f"{permission['Principal']} of any account may invoke: {permission}")
            invoking.setdefault(permission["FunctionName"]["Ref"], []).append(permission["Principal"])
    routed = {name: sum(function == name for _, function in deployment.routes()) for name in FUNCTIONS}
    expected = {name: ["apigateway.amazonaws.com"] * routed[name] for name in FUNCTIONS}
    expected["ShipperFunction"] = ["events.amazonaws.com"] * 2
    check(invoking == expected, f"who may invoke what: {invoking}")


def check_tags(deployment):
    """Checks that every resource that can have tags has ours."""
    check(TAG in deployment.tags, f"the stack's tags: {deployment.tags}")
    for name, resource in deployment.processed["Resources"].items():
        properties = json.dumps(resource["Properties"])
        check(resource["Type"] in WITHOUT_TAGS or TAG["Value"] in properties and TAG["Key"] in properties,
              f"{name} has no tag")


def check_rules():
    """Checks that a deployment with contradictory parameters is rejected."""
    name, certificate, zone = "DomainName=audit.example.com", f"CertificateArn={CERTIFICATE}", "HostedZoneId=Z0123456789ABCDEFGHIJ"
    for parameters in [[name], [certificate], [zone], [name, zone], ["DisableExecuteApiEndpoint=true"]]:
        succeeded, printed = try_sam("deploy", "--no-confirm-changeset", "--parameter-overrides", *parameters)
        check(not succeeded and "must be given" in printed, f"{parameters} is not rejected:\n{printed}")


def check_domain(deployment, documents, zone):
    """Checks that the parameters in deploying.md set up a custom domain, and that it lists the outputs."""
    values = documents.parameters("deploying", "domain")
    check(set(values) == {"DomainName", "CertificateArn", "HostedZoneId"}, f"the parameters of a domain are {values}")
    configure(values | {"HostedZoneId": zone})
    documents.block("deploying", "again")
    deployment.read()
    gateway = client("apigatewayv2")
    check(deployment.outputs["ApiUrl"] == "https://audit.example.com", deployment.outputs)
    [mapping] = gateway.get_api_mappings(DomainName="audit.example.com")["Items"]
    check((mapping["ApiId"], mapping["Stage"]) == (deployment.physical["Api"], "$default"), mapping)
    domain = gateway.get_domain_name(DomainName="audit.example.com")["DomainNameConfigurations"][0]
    check(domain["CertificateArn"] == CERTIFICATE, domain)
    records = client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    targets = [record["AliasTarget"]["DNSName"].rstrip(".") for record in records if record["Name"] == "audit.example.com."]
    check(targets == [deployment.outputs["DomainTarget"]] == [domain["ApiGatewayDomainName"]], records)
    outputs = {line.split("\t")[0] for line in documents.block("deploying", "outputs").splitlines()}
    check(outputs == documents.names("deploying", "Outputs"), f"deploying.md does not list the outputs {outputs}")


def check_runbook(deployment, documents):
    """Runs the commands of operations.md and checks the effects of those that change something."""
    prelude = documents.blocks["operations", 1].split("aws lambda invoke")[0]
    prelude += f"export PLATFORM={deployment.token} API='{ENDPOINT}/_aws/execute-api/{deployment.physical['Api']}/$default'\n"
    begin, *looks = [number for document, number in documents.blocks if document == "operations"]
    answered = documents.block("operations", begin)
    check(re.search(r'"?(organisations|maintained)', answered), f"maintenance by hand answers {answered}")
    lines = [json.loads(line) for name in FUNCTIONS for line in log_lines(deployment, name) if line.startswith("{")]
    members = {member for line in lines for member in line}
    # A healthy run writes no metric of a failure. The simulation of the alarms has lines with each metric that has an alarm.
    resources = deployment.processed["Resources"].values()
    members |= {resource["Properties"].get("MetricName") for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"}
    # MiniStack writes no access log.
    access = deployment.processed["Resources"]["ApiApiGatewayDefaultStage"]["Properties"]["AccessLogSettings"]["Format"]
    members |= set(re.findall(r'"(\w+)":', access))
    for number in looks:
        script = documents.blocks["operations", number]
        # MiniStack treats every pattern of members as a match.
        for member in re.findall(r"\$\.(\w+)", script):
            check(member in members, f"no line has a member {member}")
        documents.block("operations", number, change=lambda script: prelude + script)
    mapping = deployment.physical["ShipperFunctionShip"]
    events, functions = client("events"), client("lambda")
    shipper = deployment.physical["ShipperFunction"]
    rules = [deployment.physical[name] for name in ["ShipperFunctionPlan", "ShipperFunctionMaintain"]]
    queue = deployment.outputs["ShipDeadLetterQueueUrl"]
    for rule in rules:
        events.disable_rule(Name=rule)
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    functions.put_function_concurrency(FunctionName=shipper, ReservedConcurrentExecutions=1)
    client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    spans = documents.spans("operations")
    check(len(spans) >= 6, f"too few commands found in the runbook: {spans}")
    printed = [documents.run(prelude + span.replace("UUID", mapping)) for span in spans]
    check(any(deployment.outputs["DashboardName"] in text for text in printed), "no command prints the dashboard's name")
    check(all(events.describe_rule(Name=rule)["State"] == "ENABLED" for rule in rules), "a rule is still disabled")
    state = functions.get_event_source_mapping(UUID=mapping)["State"]
    check(state in ["Enabled", "Enabling"], f"the queue's mapping is {state}")
    reserved = functions.get_function_concurrency(FunctionName=shipper)
    check("ReservedConcurrentExecutions" not in reserved, f"still reserved: {reserved}")
    check("Messages" not in client("sqs").receive_message(QueueUrl=queue), "the dead-letter queue is not empty")


def invoke(deployment, task):
    """Invokes the shipper. Returns its answer."""
    answer = client("lambda").invoke(FunctionName=deployment.physical["ShipperFunction"], Payload=json.dumps(task))
    payload = json.load(answer["Payload"])
    check("FunctionError" not in answer, f"{task} fails: {payload}")
    return payload


def customer_client(service, role_arn):
    """A client for the administrator of the account of a role."""
    account = role_arn.split(":")[4]
    return boto3.client(service, endpoint_url=ENDPOINT, aws_access_key_id=account, aws_secret_access_key="test",
                        region_name=REGION)


def delivered_sequences(destination):
    """The sequences in a customer's bucket, one for each line in it."""
    s3, bucket, sequences = customer_client("s3", destination["roleArn"]), destination["bucket"], []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for key in [thing["Key"] for thing in page.get("Contents", [])]:
            if re.search(r"/[0-9-]+T[0-9-]+Z-[0-9a-z]+\.json$", "/" + key):
                content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                sequences += [json.loads(line)["sequence"] for line in content.splitlines()]
    return sorted(sequences)


def wait_until(done, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not done():
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(1)


def delivered_destination(deployment):
    """The id of an organisation with a destination that works, and this destination."""
    for organisation in deployment.call("GET", "/organisations")[1]["organisations"]:
        path = f"/organisations/{organisation['id']}/destinations"
        for destination in deployment.call("GET", path)[1]["destinations"]:
            if destination["state"] == "sent" and delivered_sequences(destination):
                return organisation["id"], destination
    return sys.exit("deploy: no destination of the tests works")


def check_restore(deployment, documents):
    """Loses both tables, and brings them back with the commands of restoring.md.

    MiniStack copies a table as it is, whatever the time. So the copies are made first, and what happens then is lost.
    """
    organisation, destination = delivered_destination(deployment)
    event = {"action": "CREATE", "entity": {"id": "drill", "name": "A drill", "entityType": "ORDER"},
             "principal": {"id": "42", "name": "Ada", "entityType": "USER"}}

    def record():
        status, answer = deployment.call("POST", f"/organisations/{organisation}/events", event)
        check(status == 201, f"recording an event: {status} {answer}")
        return answer["events"][0]

    def deliver(sequence):
        invoke(deployment, {"task": "plan"})
        wait_until(lambda: sequence in delivered_sequences(destination), f"sequence {sequence} is not delivered")

    prelude = documents.blocks["operations", 1].split("aws lambda invoke")[0] + "cd " + str(documents.folder) + "\n"
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    documents.left.discard(("restoring", "names"))
    names = documents.blocks["restoring", "names"].replace("2026-11-22T10:00:00Z", now)

    def follow(*blocks, before=prelude + names):
        return documents.block("restoring", *blocks, change=lambda script: before + script)

    seen = record()
    deliver(seen["sequence"])
    follow("copy", "protect")
    # A tick of the schedule would deliver the event that is to be lost.
    client("events").disable_rule(Name=deployment.physical["ShipperFunctionPlan"])
    delivered = record()["sequence"]
    deliver(delivered)
    lost = record()
    mapping = follow("stop", before=prelude + names + "show() { echo \"mapping=$mapping\"; }; trap show EXIT\n")
    mapping = re.search(r"^mapping=\S+$", mapping, re.MULTILINE).group(0) + "\n"
    status, _ = deployment.call("POST", f"/organisations/{organisation}/events", event)
    check(status in [429, 500, 503], f"events are still recorded: {status}")
    configure(documents.parameters("restoring", "restored"))
    follow("use", before="")
    deployment.read()
    copies = {deployment.outputs["LogTableName"], deployment.outputs["RegistryTableName"]}
    check(copies == {f"{STACK}-log-restored", f"{STACK}-registry-restored"}, f"the stack uses {copies}")
    check(invoke(deployment, {"task": "plan"}).get("copiedTables") == "both", "copies are not recognised")
    follow("delivered")
    known = json.loads((documents.folder / "delivered.json").read_text(encoding="utf-8"))
    check(known.get(f"{organisation}/{destination['id']}") == delivered, f"{delivered} was delivered, and this says {known}")
    printed = follow("restore")
    check('"failed": []' in printed, f"organisations are not restored:\n{printed}")
    follow("restore")
    follow("replaced")
    follow("start", before=prelude + names + mapping)

    first = record()["sequence"]
    check(first > lost["sequence"], f"the number {first} is used twice")
    deliver(first)
    sequences = delivered_sequences(destination)
    check(len(set(sequences)) == len(sequences), f"delivered twice: {sequences}")
    check(lost["sequence"] not in sequences and delivered in sequences, f"delivered: {sequences}")
    # The reader has seen an event that is lost.
    status, page = deployment.call("GET", f"/organisations/{organisation}/audit?after={lost['uuid']}")
    check(status == 200, f"a reader cannot go on: {status} {page}")
    restored = page["events"][0]
    hole = {"firstSequence": seen["sequence"] + 1, "lastSequence": restored["sequence"] - 1}
    check((restored["type"], restored["recordedBy"]) == ("log.restored", "annals"), f"it goes on with {restored}")
    check(restored["payload"]["lost"] == [hole], f"not {hole}: {restored['payload']}")
    check(restored["sequence"] in sequences, "log.restored is not delivered")
    found = follow("forgotten", before=prelude + names + f"""
curl() {{ command curl "${{@//ORG/{organisation}}}"; }}
TOKEN={deployment.token} API='{ENDPOINT}/_aws/execute-api/{deployment.physical["Api"]}/$default'
""")
    check("log.restored" in found, f"the reads after a restore find {found}")

    # A deployment that forgets the parameters is noticed.
    deployment.deploy(RestoredLogTable="", RestoredRegistryTable="")
    check(invoke(deployment, {"task": "plan"}).get("copiedTables") == "both", "the replaced tables are used without notice")
    dynamodb = client("dynamodb")
    mark = {"S": "#table"}
    dynamodb.delete_item(TableName=deployment.physical["LogTable"], Key={"org": mark, "seq": {"N": "0"}})
    dynamodb.delete_item(TableName=deployment.physical["RegistryTable"], Key={"pk": mark, "sk": mark})
    for copy in copies:
        dynamodb.update_table(TableName=copy, DeletionProtectionEnabled=False)
        dynamodb.delete_table(TableName=copy)


def log_lines(deployment, function):
    """The log lines of a function."""
    group = deployment.physical[function.replace("Function", "LogGroup")]
    pages = client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"].rstrip() for page in pages for event in page["events"]]


def check_logs(deployment):
    """Checks that each function logs to its own group, and no tokens."""
    for name in FUNCTIONS:
        log = "\n".join(log_lines(deployment, name))
        check(log, f"{name} has logged nothing")
        check(deployment.token not in log and not re.search(r"annals_[0-9a-zA-Z]{8}", log), f"{name} logs tokens:\n{log}")
    for message in ["planned", "maintained"]:
        check(any(f'"{message}"' in line for line in log_lines(deployment, "ShipperFunction")), f"the shipper never logged {message}")


def calls_of(function, role):
    """The calls that a function made, from MiniStack's CloudTrail, which identifies callers only by access key."""
    # As ministack.core.lambda_runtime.execution_credentials makes it.
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    key = "ASIA" + hashlib.sha256(f"{arn}:{role}".encode()).hexdigest()[:16].upper()
    calls, end = {}, None
    while True:
        # Fifty per page, newest first, without a page token: continue from the time of the oldest.
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
    """The calls of a function, as action and logical resource."""
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
        elif service == "kms":
            found.add((f"kms:{action}", logical[asked["KeyId"].rsplit("/", 1)[-1]]))
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


def chosen(value):
    """The value that Fn::If chooses with the deployed parameters."""
    if "Fn::If" not in value:
        return value
    condition, met, otherwise = value["Fn::If"]
    return chosen(met if condition in CONDITIONS_MET else otherwise)


def granted(deployment, function):
    """The permissions of a function's role in the processed template, as action and logical resource."""
    resources = deployment.processed["Resources"]
    role = resources[resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
    documents = [policy["PolicyDocument"] for policy in role["Policies"]]
    documents += [resources[managed["Ref"]]["Properties"]["PolicyDocument"]
                  for managed in map(chosen, role.get("ManagedPolicyArns", [])) if managed != NO_VALUE]
    found = set()
    for statement in (chosen(statement) for document in documents for statement in document["Statement"]):
        if statement == NO_VALUE:
            continue
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resource = chosen(statement["Resource"])
        if "Fn::GetAtt" in resource:
            name = resource["Fn::GetAtt"][0]
        elif resource["Fn::Sub"].endswith(":role/${CustomerRolePattern}"):
            name = "customers' roles"
        else:
            name = resource["Fn::Sub"].replace("${", "").replace(".Arn}", "")
        found |= {(action, name) for action in actions}
    return found


def check_least_privilege(deployment):
    """Checks that each role grants only what its function used. MiniStack rejected every other call."""
    faults = []
    for function in FUNCTIONS:
        done, allowed = exercised(deployment, function), granted(deployment, function)
        print(f"   {function}: " + ", ".join(f"{action} {name}" for action, name in sorted(done)))
        expected = {(action, name) for action, name in allowed
                    if action not in MADE_BY_LAMBDA}
        faults += [f"{function} never used {action} on {name}" for action, name in sorted(expected - done)]
        faults += [f"{function} is not granted {action} on {name}" for action, name in sorted(done - allowed)]
    check(not faults, "\n".join(faults))


def table_names():
    return set(client("dynamodb").list_tables()["TableNames"])


def everything():
    """All existing resources of the types in the template, except tables."""
    return {
        "functions": client("lambda").list_functions()["Functions"],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "alarms": client("cloudwatch").describe_alarms()["MetricAlarms"],
        "composite alarms": client("cloudwatch").describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"],
        "rules": client("events").list_rules()["Rules"],
        "roles": [role for role in client("iam").list_roles()["Roles"] if STACK in role["RoleName"]],
        "policies": client("iam").list_policies(Scope="Local")["Policies"],
        "APIs": client("apigatewayv2").get_apis()["Items"],
        "log groups": [group for group in client("logs").describe_log_groups()["logGroups"]
                       if group["logGroupName"].startswith(f"/aws/lambda/{STACK}-")],
        "mappings": client("lambda").list_event_source_mappings()["EventSourceMappings"],
    }


def rotate(deployment):
    """Changes the platform token as operations.md says."""
    old, new = deployment.token, f"annals_platform_{secrets.token_hex(24)}"
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in (old, new)]
    for overrides, expected in [
        ([f"PlatformTokenSha256={hashes[1]}", f"PreviousPlatformTokenSha256={hashes[0]}"], [200, 200]),
        ([], [401, 200]),
    ]:
        sam("deploy", "--no-confirm-changeset", *(["--parameter-overrides", *overrides] if overrides else []))
        statuses = []
        for deployment.token in (old, new):
            statuses.append(deployment.call("GET", "/organisations/kept")[0])
        check(statuses == expected, f"with {overrides} the old and the new token get {statuses}")
    deployment.answers["Parameter PlatformTokenSha256"] = hashes[1]
    deployment.read()
    check(protection() == {"true"}, "an omitted parameter lost its value")


def take_over(documents, tables, answers):
    """Creates a stack from existing tables with the commands of deploying.md."""
    def change(script):
        for name, table in tables.items():
            script = script.replace(f"annals-{name}-…", table)
        return script.replace("tables.yaml", f"{documents.folder}/tables.yaml")

    documents.converse("deploying", "take-over", answers=answers, change=change)


def check_release(deployment, documents):
    """Packs what `sam build` has built twice, compares, and deploys it with the commands of deploying.md for a release."""
    version = re.search(r"SemanticVersion: (\S+)", Path("template.yaml").read_text(encoding="utf-8"))[1]
    name, archives = f"annals-{version}", []
    for attempt in ("first", "second"):
        folder = documents.folder / attempt / name
        subprocess.run([".venv-sam/bin/python", ".ci/release.py", folder, f"{os.environ['ARCHITECTURE']}=.aws-sam/build"], check=True)
        archives.append(folder.with_name(f"{name}.tar.gz"))
    check(archives[0].read_bytes() == archives[1].read_bytes(), "packed twice, a release has different bytes")
    (documents.folder / archives[0].name).write_bytes(archives[0].read_bytes())
    client("s3").create_bucket(Bucket="releases")
    digest = hashlib.sha256(deployment.token.encode()).hexdigest()
    documents.block("deploying", "without-rust", change=lambda script: f"cd {documents.folder}\n"
                    + script.replace("YOUR-BUCKET", "releases").replace("PlatformTokenSha256=…", f"PlatformTokenSha256={digest}"))
    linted = subprocess.run([".venv-sam/bin/cfn-lint", documents.folder / name / "template.yaml"], text=True, capture_output=True)
    check(linted.returncode == 0, f"cfn-lint: {linted.stdout}")
    deployment.read()
    deployment.create_routes()
    check(deployment.status == "CREATE_COMPLETE", deployment.status)
    check_permissions(deployment)
    check_tags(deployment)
    check(deployment.call("GET", "/health")[0] == 200, "the API of a release does not answer")
    status, answer = deployment.call("PUT", "/organisations/released", {"name": "Released"})
    check(status == 201, f"a release creates no organisation: {status} {answer}")
    # What `sam publish` takes.
    subprocess.run([".venv-sam/bin/python", ".ci/release.py", "--application", documents.folder / name, os.environ["ARCHITECTURE"],
                    "application.yaml"], check=True)
    packaged = documents.folder / "packaged.yaml"
    line = [".venv-sam/bin/sam", "package", "--template-file", documents.folder / name / "application.yaml", "--s3-bucket", "releases",
            "--s3-prefix", "application", "--output-template-file", packaged, "--region", REGION]
    done = subprocess.run(line, env=environment_of_clis(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS_PER_CALL)
    check(done.returncode == 0, f"sam package:\n{done.stdout}")
    text = packaged.read_text(encoding="utf-8")
    # Each function, the licence and the readme.
    check(len(re.findall(r": s3://releases/application/", text)) == len(FUNCTIONS) + 3, f"not everything is packaged:\n{text}")


def protection():
    """The values of deletion protection over all tables."""
    tables = [client("dynamodb").describe_table(TableName=name)["Table"] for name in table_names()]
    # MiniStack stores the template's string.
    return {str(table["DeletionProtectionEnabled"]).lower() for table in tables}


def upgrade(deployment, documents):
    """Upgrades the stack with the commands of upgrading.md."""
    documents.block("upgrading", "upgrade")
    check(documents.block("upgrading", "look") == "", "the change set replaces or removes resources")
    documents.block("upgrading", "look", "execute")
    deployment.read()
    documents.block("upgrading", "protect")


def record_calls():
    request = urllib.request.Request(f"{ENDPOINT}/_ministack/config", method="POST",
                                     data=b'{"cloudtrail._recording_enabled": true}')
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        check(json.load(answer)["applied"], "MiniStack did not enable the recording of calls")


def main():
    deployment = Deployment(f"annals_platform_{secrets.token_hex(24)}")
    before = SAMCONFIG.read_text(encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as folder:
            use(deployment, Documents(folder), {"name": "Kept", "plan": "enterprise"})
    finally:
        SAMCONFIG.write_text(before, encoding="utf-8")


def use(deployment, documents, organisation):
    with step("sam build and sam deploy --guided"):
        # As deploying.md says for machines that are not arm64.
        if os.environ["ARCHITECTURE"] != "arm64":
            line = re.search(r'^```toml architecture\n.*?\n(.*)\n```$', documents.texts["deploying"], re.MULTILINE)[1]
            SAMCONFIG.write_text(SAMCONFIG.read_text(encoding="utf-8").replace("beta_features", line + "\nbeta_features", 1),
                                 encoding="utf-8")
        printed = documents.converse("deploying", "first", answers=deployment.answers)
        check("no authentication" not in printed, f"SAM asks about authentication:\n{printed}")
        deployment.read()
        check(deployment.status == "CREATE_COMPLETE", deployment.status)
        check("ApiInstancesFunction" not in deployment.physical, "there are managed instances without a capacity provider")
        check_permissions(deployment)
        check_tags(deployment)
        check(protection() == {"false"}, "deletion protection keeps a first deployment that fails from being rolled back")
        deployment.create_routes()
        print("   " + deployment.outputs["ApiUrl"])

    with step("the deployed stack, used"):
        record_calls()
        tests = ["cargo", "test", "--package", "annals-tests", "--test", "deployed", "stack::"]
        environment = os.environ | {"ANNALS_TEST_STACK": json.dumps(deployment.outputs),
                                    "ANNALS_TEST_PLATFORM_TOKEN": deployment.token}
        with deployment.batches_allowed():
            passed = subprocess.run(tests, env=environment).returncode == 0
        if not passed:
            for name in FUNCTIONS:
                print(f"   the last lines of {name}:", *log_lines(deployment, name)[-40:], sep="\n")
            sys.exit("deploy: the tests of the deployed stack failed")
        check_logs(deployment)
        dead = client("sqs").get_queue_attributes(QueueUrl=deployment.outputs["ShipDeadLetterQueueUrl"],
                                                  AttributeNames=["ApproximateNumberOfMessages"])
        check(dead["Attributes"]["ApproximateNumberOfMessages"] == "0", "the dead-letter queue is not empty")

    with step("roles grant only what is used"):
        # Listing whole organisations is for restores alone. This one restores the last organisation.
        deployment.call("PUT", "/organisations/zz-last", organisation)
        restored = invoke(deployment, {"task": "restore", "restore": "trial", "tables": "registry",
                                       "restoredTo": "2026-01-01T00:00:00Z", "after": {"organisation": "zz", "failed": 0}})
        check(restored == {"restored": 1, "failed": [], "after": None}, f"not restored: {restored}")
        check_least_privilege(deployment)

    with step("the runbook"), deployment.batches_allowed():
        check_runbook(deployment, documents)

    with step("the restore drill"), deployment.batches_allowed():
        check_restore(deployment, documents)

    with step("sam build and sam deploy, nothing changed"):
        deployment.call("PUT", "/organisations/kept", organisation)
        before, status = deployment.physical, deployment.status
        printed = documents.block("deploying", "again")
        deployment.read()
        check("No changes to deploy" in printed, f"a deployment without changes changed something:\n{printed}")
        check((deployment.physical, deployment.status) == (before, status), "resources or the status changed")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "the organisation is gone")

    with step("sam deploy, other parameters"):
        deployment.deploy(LogRetentionDays=7, TestObjectName="other.txt", DeliverySchedule="rate(5 minutes)",
                          DeletionProtection="true")
        check(deployment.status == "UPDATE_COMPLETE", deployment.status)
        check(deployment.physical == before, "resources were replaced")
        group = client("logs").describe_log_groups(logGroupNamePrefix=deployment.physical["ApiLogGroup"])
        check(group["logGroups"][0]["retentionInDays"] == 7, "the retention of logs did not change")
        rule = client("events").describe_rule(Name=deployment.physical["ShipperFunctionPlan"])
        check(rule["ScheduleExpression"] == "rate(5 minutes)", f"the schedule is {rule['ScheduleExpression']}")
        check(protection() == {"true"}, "the tables have no deletion protection")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "the organisation is gone")

    with step("another platform token"):
        rotate(deployment)

    with step("a custom domain"):
        check_rules()
        zone = client("route53").create_hosted_zone(Name="example.com", CallerReference="once")["HostedZone"]["Id"]
        zone = zone.removeprefix("/hostedzone/")
        check_domain(deployment, documents, zone)
        printed = documents.block("deploying", "again")
        check("No changes to deploy" in printed, f"a deployment without changes changed the domain:\n{printed}")
        rule = client("events").describe_rule(Name=deployment.physical["ShipperFunctionPlan"])
        check(rule["ScheduleExpression"] == "rate(5 minutes)", "an omitted parameter lost its value")
        check({name: deployment.physical[name] for name in before} == before, "resources were replaced")

    with step("an upgrade without the custom domain"):
        deployment.deploy(DomainName="", CertificateArn="", HostedZoneId="")
        check(deployment.physical == before, "resources of the custom domain remain")
        configure({"LogRetentionDays": 14})
        upgrade(deployment, documents)
        group = client("logs").describe_log_groups(logGroupNamePrefix=deployment.physical["ApiLogGroup"])
        check(group["logGroups"][0]["retentionInDays"] == 14, "the change set was not executed")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "the organisation is gone")

    with step("sam delete"):
        tables = {deployment.physical[name] for name in TABLES}
        sam("delete", "--no-prompts")
        left = {kind: things for kind, things in everything().items() if things}
        check(not left, f"resources remain: {left}")
        check(table_names() == tables, f"other tables than those of the stack remain: {table_names()}")
        kept = client("dynamodb").scan(TableName=before["RegistryTable"])["Items"]
        check(any("kept" in json.dumps(item, default=repr) for item in kept), "the tables are empty")

    with step("a new stack with the existing tables"):
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{before['SigningKey']}"
        take_over(documents, {name: before[name] for name in TABLES}, deployment.answers | {"Parameter SigningKeyArn": key})
        deployment.read()
        deployment.create_routes()
        check(deployment.status == "UPDATE_COMPLETE", deployment.status)
        check(all(deployment.physical[name] == before[name] for name in TABLES), "it has other tables")
        check(table_names() == tables, f"there are additional tables: {table_names()}")
        check(protection() == {"true"}, "the tables have no deletion protection")
        check("SigningKey" not in deployment.physical, "the new stack created another signing key")
        check(deployment.call("GET", "/organisations/kept")[0] == 200, "the organisation is gone")
        sam("delete", "--no-prompts")
        check(table_names() == tables, f"the new stack deleted tables: {table_names()}")
    with step("a release, deployed without Rust and the SAM CLI"):
        check_release(deployment, documents)
        sam("delete", "--no-prompts")
    check(not documents.left, f"blocks of commands that were not run: {documents.left}")


if __name__ == "__main__":
    main()
