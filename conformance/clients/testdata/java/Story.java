// The story of an agent, by the AWS SDK for Java 2.x: create from a zip in S3, wait, invoke, continue the session, run
// a command in it, stop, update, pin and roll an endpoint, delete. Arguments: the zip, the runtime.

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.ContentStreamProvider;
import software.amazon.awssdk.http.HttpExecuteRequest;
import software.amazon.awssdk.http.SdkHttpMethod;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4HttpSigner;
import software.amazon.awssdk.regions.providers.DefaultAwsRegionProviderChain;
import software.amazon.awssdk.services.bedrockagentcore.BedrockAgentCoreAsyncClient;
import software.amazon.awssdk.services.bedrockagentcore.BedrockAgentCoreClient;
import software.amazon.awssdk.services.bedrockagentcore.model.InvokeAgentRuntimeRequest;
import software.amazon.awssdk.services.bedrockagentcorecontrol.BedrockAgentCoreControlClient;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.AgentRuntimeArtifact;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.ConflictException;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.GetAgentRuntimeEndpointResponse;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.GetAgentRuntimeResponse;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.NetworkConfiguration;
import software.amazon.awssdk.services.bedrockagentcorecontrol.model.ResourceNotFoundException;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.eventstream.Message;

public class Story {
    static final BedrockAgentCoreControlClient control = BedrockAgentCoreControlClient.create();
    static final BedrockAgentCoreClient data = BedrockAgentCoreClient.create();
    static String id, arn;

    public static void main(String[] args) throws Exception {
        try (S3Client s3 = S3Client.create()) {
            s3.createBucket(b -> b.bucket("story-java"));
            s3.putObject(b -> b.bucket("story-java").key("hello.zip"), RequestBody.fromFile(Path.of(args[0])));
        }
        String account;
        try (StsClient sts = StsClient.create()) {
            account = sts.getCallerIdentity().account();
        }
        AgentRuntimeArtifact artifact = AgentRuntimeArtifact.fromCodeConfiguration(c -> c.runtime(args[1])
                .entryPoint("main.py").code(code -> code.s3(o -> o.bucket("story-java").prefix("hello.zip"))));
        String role = "arn:aws:iam::" + account + ":role/outcrop-default";
        NetworkConfiguration network = NetworkConfiguration.builder().networkMode("PUBLIC").build();

        var created = control.createAgentRuntime(b -> b.agentRuntimeName("story_java").agentRuntimeArtifact(artifact)
                .roleArn(role).networkConfiguration(network));
        id = created.agentRuntimeId();
        arn = created.agentRuntimeArn();
        is("READY", settled().statusAsString());

        String session = UUID.randomUUID().toString();
        is("19 + 23 is 42.", say(session, "DEFAULT", "add 19 and 23").trim());
        has("add 19 and 23", say(session, "DEFAULT", "remember"));
        is("hello from bash, status 3", command(session, "printf 'hello from '; printf bash; exit 3"));
        data.stopRuntimeSession(b -> b.agentRuntimeArn(arn).runtimeSessionId(session));
        has("nothing", sayAsync(session, "remember"));
        refused(software.amazon.awssdk.services.bedrockagentcore.model.ResourceNotFoundException.class,
                () -> data.stopRuntimeSession(b -> b.agentRuntimeArn(arn).runtimeSessionId(UUID.randomUUID().toString())));

        is("2", control.updateAgentRuntime(b -> b.agentRuntimeId(id).agentRuntimeArtifact(artifact).roleArn(role)
                .networkConfiguration(network).description("second")).agentRuntimeVersion());
        is("second", settled().description());

        control.createAgentRuntimeEndpoint(b -> b.agentRuntimeId(id).name("prod").agentRuntimeVersion("1"));
        is("1", rolled().liveVersion());
        control.updateAgentRuntimeEndpoint(b -> b.agentRuntimeId(id).endpointName("prod").agentRuntimeVersion("2"));
        is("2", rolled().liveVersion());
        has("Hello", say(UUID.randomUUID().toString(), "prod", "hi"));
        refused(ConflictException.class, () -> control.deleteAgentRuntime(b -> b.agentRuntimeId(id)));
        control.deleteAgentRuntimeEndpoint(b -> b.agentRuntimeId(id).endpointName("prod"));
        gone(() -> endpoint());
        control.deleteAgentRuntime(b -> b.agentRuntimeId(id));
        gone(() -> control.getAgentRuntime(b -> b.agentRuntimeId(id)));
        System.out.println("story told");
        System.exit(0); // the clients' threads go with it
    }

    static GetAgentRuntimeResponse settled() throws Exception {
        for (int i = 0; i < 300; i++, Thread.sleep(200)) {
            var got = control.getAgentRuntime(b -> b.agentRuntimeId(id));
            if (!got.statusAsString().endsWith("ING")) return got;
        }
        throw new AssertionError("the runtime did not settle");
    }

    static GetAgentRuntimeEndpointResponse endpoint() {
        return control.getAgentRuntimeEndpoint(b -> b.agentRuntimeId(id).endpointName("prod"));
    }

    static GetAgentRuntimeEndpointResponse rolled() throws Exception {
        for (int i = 0; i < 300; i++, Thread.sleep(200)) {
            if (!endpoint().statusAsString().endsWith("ING")) return endpoint();
        }
        throw new AssertionError("the endpoint did not settle");
    }

    static InvokeAgentRuntimeRequest request(String session, String qualifier, String prompt) {
        return InvokeAgentRuntimeRequest.builder().agentRuntimeArn(arn).qualifier(qualifier).runtimeSessionId(session)
                .payload(SdkBytes.fromUtf8String("{\"prompt\":\"" + prompt + "\"}")).build();
    }

    static String say(String session, String qualifier, String prompt) throws IOException {
        try (var answer = data.invokeAgentRuntime(request(session, qualifier, prompt))) {
            is(session, answer.response().runtimeSessionId());
            return joined(new String(answer.readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    /** The same over Netty. */
    static String sayAsync(String session, String prompt) {
        try (var client = BedrockAgentCoreAsyncClient.create()) {
            ResponseBytes<?> answer = client.invokeAgentRuntime(request(session, "DEFAULT", prompt), AsyncResponseTransformer.toBytes()).join();
            return joined(answer.asUtf8String());
        }
    }

    static String joined(String events) {
        return members("(?m)^data: \"(.*)\"$", events);
    }

    /**
     * Runs a command in a session, and tells its output and its status. This version of the SDK does not know the
     * operation yet, so its signer, its HTTP client and its decoder of event streams do what a newer one does with them.
     */
    static String command(String session, String command) throws IOException {
        String region = new DefaultAwsRegionProviderChain().getRegion().id();
        String endpoint = System.getenv().getOrDefault("AWS_ENDPOINT_URL", "https://bedrock-agentcore." + region + ".amazonaws.com");
        var request = SdkHttpRequest.builder().method(SdkHttpMethod.POST)
                .uri(URI.create(endpoint + "/runtimes/" + URLEncoder.encode(arn, StandardCharsets.UTF_8) + "/commands"))
                .putHeader("Content-Type", "application/json").putHeader("Accept", "application/vnd.amazon.eventstream")
                .putHeader("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session).build();
        var body = ContentStreamProvider.fromUtf8String("{\"command\":\"" + command + "\"}");
        try (var credentials = DefaultCredentialsProvider.builder().build(); var http = ApacheHttpClient.create()) {
            var signed = AwsV4HttpSigner.create().sign(r -> r.identity(credentials.resolveCredentials()).request(request).payload(body)
                    .putProperty(AwsV4HttpSigner.SERVICE_SIGNING_NAME, "bedrock-agentcore").putProperty(AwsV4HttpSigner.REGION_NAME, region));
            var answer = http.prepareRequest(HttpExecuteRequest.builder().request(signed.request())
                    .contentStreamProvider(signed.payload().orElseThrow()).build()).call();
            byte[] stream = answer.responseBody().orElseThrow().readAllBytes();
            if (!answer.httpResponse().isSuccessful()) throw new AssertionError(new String(stream, StandardCharsets.UTF_8));
            StringBuilder said = new StringBuilder();
            for (ByteBuffer rest = ByteBuffer.wrap(stream); rest.hasRemaining();) {
                Message event = Message.decode(rest);
                is("event", event.getHeaders().get(":message-type").getString());
                is("chunk", event.getHeaders().get(":event-type").getString());
                said.append(new String(event.getPayload(), StandardCharsets.UTF_8));
            }
            return members("\"stdout\":\"([^\"]*)\"", said.toString()) + ", status " + members("\"exitCode\":(-?\\d+)", said.toString());
        }
    }

    /** Joins what the group of a pattern matches. */
    static String members(String pattern, String text) {
        StringBuilder all = new StringBuilder();
        for (Matcher m = Pattern.compile(pattern).matcher(text); m.find();) all.append(m.group(1));
        return all.toString();
    }

    static void is(String want, String got) {
        if (!want.equals(got)) throw new AssertionError("want " + want + ", got " + got);
    }

    static void has(String want, String got) {
        if (!got.contains(want)) throw new AssertionError("want " + want + " in " + got);
    }

    static void refused(Class<? extends Exception> with, Callable<?> call) {
        try {
            call.call();
        } catch (Exception e) {
            if (with.isInstance(e)) return;
            throw new AssertionError("want " + with, e);
        }
        throw new AssertionError("not refused with " + with);
    }

    static void gone(Callable<?> get) throws Exception {
        for (int i = 0; i < 300; i++, Thread.sleep(200)) {
            try {
                get.call();
            } catch (ResourceNotFoundException e) {
                return;
            }
        }
        throw new AssertionError("it is still there");
    }
}
