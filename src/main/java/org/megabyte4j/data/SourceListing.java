package org.megabyte4j.data;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** The files that a source stands for, in order, before any is opened. */
final class SourceListing {
    private final CorpusSource source;
    private final List<Glob> globs;
    private final List<SourceFile> files = new ArrayList<>();
    private final Set<Path> ancestors = new HashSet<>();
    private final Set<Path> seen = new HashSet<>();

    /** @throws DataException if a path is missing, unreadable, empty or a loop */
    SourceListing(CorpusSource source) {
        this.source = source;
        globs = source.globs().stream().map(Glob::new).toList();
        for (Path path : source.paths()) {
            int before = files.size();
            seen.clear();
            BasicFileAttributes attributes = attributes(path);
            if (attributes.isDirectory()) {
                addFolder(path, "");
                if (files.size() == before) {
                    throw new DataException(!hasGlobs()
                            ? "the folder " + path + " holds no file with a byte in it; name another one"
                            : "no file with a byte in it in the folder " + path + " matches " + globsInWords()
                                    + "; change the glob, or leave it out");
                }
            } else {
                if (attributes.isRegularFile() && attributes.size() == 0) {
                    throw new DataException(path + " is empty; name a file with at least one byte");
                }
                addFile(path, "", attributes);
            }
        }
    }

    List<SourceFile> files() {
        return files;
    }

    /** What is listed, as messages call it. */
    String description() {
        return files.size() == 1 ? files.getFirst().path().toString()
                : "the " + files.size() + " files from " + source.paths().getFirst();
    }

    boolean accepts(String name) {
        return globs.isEmpty() || globs.stream().anyMatch(glob -> glob.matches(name));
    }

    boolean hasGlobs() {
        return !globs.isEmpty();
    }

    String globsInWords() {
        return "the glob " + String.join(" or ", source.globs());
    }

    /** SHA-256 over what a corpus file depends on: changes when a file is added, removed, moved, or written to. */
    byte[] key() {
        MessageDigest digest = Fingerprint.sha256();
        source.globs().forEach(glob -> update(digest, "glob", glob));
        for (SourceFile file : files) {
            update(digest, file.path().toAbsolutePath(), file.name(), file.size(), file.modified());
        }
        return digest.digest();
    }

    private static void update(MessageDigest digest, Object... values) {
        for (Object value : values) {
            digest.update((value + "\0").getBytes(StandardCharsets.UTF_8));
        }
    }

    private void addFolder(Path folder, String prefix) {
        Path real;
        List<Path> children;
        try (Stream<Path> list = Files.list(folder)) {
            real = folder.toRealPath();
            children = list.filter(child -> !isHidden(child.getFileName().toString()))
                    .sorted(Comparator.comparing(child -> child.getFileName().toString())).toList();
        } catch (IOException e) {
            throw SourceErrors.unreadable(folder, e);
        } catch (UncheckedIOException e) {
            throw SourceErrors.unreadable(folder, e.getCause());
        }
        if (ancestors.contains(real)) {
            throw new DataException("the link " + folder + " leads back to a folder that it is in, " + real
                    + "; remove the link, or name the folders beside it one by one");
        }
        if (!seen.add(real)) {
            return;
        }
        ancestors.add(real);
        for (Path child : children) {
            String name = prefix + child.getFileName();
            BasicFileAttributes attributes = attributes(child);
            if (attributes.isDirectory()) {
                addFolder(child, name + "/");
            } else if (belongs(name) && !(attributes.isRegularFile() && attributes.size() == 0)) {
                addFile(child, name, attributes);
            }
        }
        ancestors.remove(real);
    }

    static boolean isHidden(String name) {
        return name.startsWith(".");
    }

    private boolean belongs(String name) {
        return switch (SourceFile.kindOf(name)) {
            case PLAIN -> accepts(name);
            case GZIP, ZSTD -> accepts(name) || accepts(name.substring(0, name.lastIndexOf('.')));
            case ZIP -> true;
        };
    }

    /** Whether a file would be listed if it were there. */
    boolean wouldHold(Path file) {
        for (Path path : source.paths()) {
            Path folder = path.toAbsolutePath().normalize();
            Path absolute = file.toAbsolutePath().normalize();
            if (absolute.startsWith(folder) && !absolute.equals(folder)) {
                String name = folder.relativize(absolute).toString().replace(File.separatorChar, '/');
                if (belongs(name) && Arrays.stream(name.split("/")).noneMatch(SourceListing::isHidden)) {
                    return true;
                }
            }
        }
        return false;
    }

    private void addFile(Path path, String name, BasicFileAttributes attributes) {
        if (!attributes.isRegularFile()) {
            throw new DataException(path + " is neither a file nor a folder but a pipe or a device; write what it gives"
                    + " to a file, and name that");
        }
        if (!Files.isReadable(path)) {
            throw SourceErrors.permissionDenied(path);
        }
        files.add(new SourceFile(path, name, attributes.size(), attributes.lastModifiedTime()));
    }

    private static BasicFileAttributes attributes(Path path) {
        try {
            return Files.readAttributes(path, BasicFileAttributes.class);
        } catch (NoSuchFileException e) {
            throw Files.isSymbolicLink(path)
                    ? new DataException("the link " + path + " leads nowhere; remove it, or restore what it led to", e)
                    : new DataException("there is no file or folder " + path + "; check the path", e);
        } catch (IOException e) {
            throw Files.isSymbolicLink(path)
                    ? new DataException("the link " + path + " cannot be followed: " + SourceErrors.reason(e)
                            + "; remove it", e)
                    : SourceErrors.unreadable(path, e);
        }
    }
}
