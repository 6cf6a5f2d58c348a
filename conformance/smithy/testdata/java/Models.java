import java.nio.file.Files;
import java.nio.file.Path;
import software.amazon.smithy.model.Model;
import software.amazon.smithy.model.node.Node;
import software.amazon.smithy.model.shapes.ModelSerializer;
import software.amazon.smithy.model.transform.ModelTransformer;

/** Writes all models of the class path to two files, in the JSON form of Smithy's AST: as they are, and without mixins. */
public class Models {
    public static void main(String[] args) throws Exception {
        Model model = Model.assembler().discoverModels().assemble().unwrap();
        write(model, args[0]);
        write(ModelTransformer.create().flattenAndRemoveMixins(model), args[1]);
    }

    private static void write(Model model, String path) throws Exception {
        Files.writeString(Path.of(path), Node.printJson(ModelSerializer.builder().build().serialize(model)));
    }
}
