// Command build builds the web page: page/dist from page/src. It also builds the list of
// the package emoji from emojibase-data. "go generate ./internal/web" runs it. It is a
// module of its own, so that the server does not depend on esbuild.
//
// With -check it writes nothing, and fails if page/dist or the list does not match its
// source, or if the page's source has wrong types, circular imports, or files or functions
// that are too long. With -modules it only installs the packages of package-lock.json, for
// tests. With -script it only prints a source as a script that defines the global "source",
// for tests of that source alone.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
)

// files are the files that are served, by their path in page/dist.
type files map[string][]byte

func main() {
	check := flag.Bool("check", false, "write nothing; fail if page/dist or the list of emoji is not what the source gives")
	modules := flag.Bool("modules", false, "only install the modules of package-lock.json")
	script := flag.String("script", "", "only print this source, such as src/markup.ts, as a script")
	flag.Parse()
	if err := run("..", *check, *modules, *script); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func run(page string, check, modules bool, script string) error {
	page, err := filepath.Abs(page)
	if err != nil {
		return err
	}
	if script != "" {
		return printScript(page, script)
	}
	if err := install(page); err != nil || modules {
		return err
	}
	emoji, err := buildEmoji(page)
	if err != nil {
		return fmt.Errorf("emojibase-data: %w", err)
	}
	built, err := build(page, emoji)
	if err != nil {
		return err
	}
	dist := filepath.Join(page, "dist")
	if !check {
		if err := os.WriteFile(filepath.Join(page, filepath.FromSlash(emojiList)), emoji.list, 0o644); err != nil {
			return err
		}
		return write(dist, built)
	}
	if err := checkShape(filepath.Join(page, "src")); err != nil {
		return fmt.Errorf("the shape of the source:\n%w", err)
	}
	if err := checkTypes(page); err != nil {
		return err
	}
	return errors.Join(compare(dist, built), compareEmoji(page, emoji.list))
}

// printScript prints a source with its imports.
func printScript(page, source string) error {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{source}, AbsWorkingDir: page, Bundle: true,
		Format: api.FormatIIFE, GlobalName: "source", Target: api.ES2022, LogLevel: api.LogLevelWarning,
	})
	if len(result.Errors) > 0 {
		return errors.New("the source does not build")
	}
	_, err := os.Stdout.Write(result.OutputFiles[0].Contents)
	return err
}

// install runs npm ci, unless it has already run for this package-lock.json.
func install(page string) error {
	lock, err := os.ReadFile(filepath.Join(page, "package-lock.json"))
	if err != nil {
		return err
	}
	done := filepath.Join(page, "node_modules", ".installed-lock.json")
	if installed, err := os.ReadFile(done); err == nil && bytes.Equal(installed, lock) {
		return nil
	}
	if err := inPage(page, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"); err != nil {
		return fmt.Errorf("npm ci: %w (scripts/setup installs npm)", err)
	}
	return os.WriteFile(done, lock, 0o600)
}

func checkTypes(page string) error {
	if err := inPage(page, filepath.Join("node_modules", ".bin", "tsc"), "--noEmit"); err != nil {
		return fmt.Errorf("tsc: %w", err)
	}
	return nil
}

// inPage runs a command in the page's directory, with its output on standard error.
func inPage(page, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir, command.Stdout, command.Stderr = page, os.Stderr, os.Stderr
	return command.Run()
}

// build builds all files in memory, in the order in which they need each other's names:
// the bundle and its assets; the HTML and the manifest, which refer to those; and the
// service worker, which caches all of them.
func build(page string, emoji *emojiFiles) (files, error) {
	built, err := bundle(page, api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "src/main.tsx", OutputPath: "app"},
			{InputPath: "src/style.css", OutputPath: "app"},
		},
		EntryNames: "assets/[name]-[hash]",
		ChunkNames: "assets/[name]-[hash]",
		Splitting:  true, // for what is loaded when it is needed
		Plugins:    []api.Plugin{emoji.plugin(), sheetPlugin(page)},
	})
	if err != nil {
		return nil, err
	}
	icons, err := bundle(page, api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{{InputPath: "src/icons/icons.ts", OutputPath: "icons"}},
	})
	if err != nil {
		return nil, err
	}
	delete(icons, "icons.js") // only there to have the icons named
	maps.Copy(built, icons)
	hashed := make(map[string]string) // "app.js" is "assets/app-0A1B2C3D.js"
	for name := range built {
		plain := hashPart.ReplaceAllString(path.Base(name), ".")
		if plain == "chunk.js" {
			continue // what is in several parts; preloadChunks has those of the page
		}
		if other, twice := hashed[plain]; twice {
			return nil, fmt.Errorf("%s and %s have one name: the page would preload one of them", name, other)
		}
		hashed[plain] = name
	}
	for _, name := range []string{"index.html", "manifest.webmanifest"} {
		text, err := os.ReadFile(filepath.Join(page, "src", name))
		if err != nil {
			return nil, err
		}
		if name == "index.html" {
			text = preloadChunks(text, built[hashed["app.js"]])
		}
		if built[name], err = fillIn(text, hashed); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	worker, err := bundle(page, api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{{InputPath: "src/sw.ts", OutputPath: "sw"}},
		Define:              map[string]string{"SHELL": shellOf(built), "VERSION": strconv.Quote(version(built))},
	})
	if err != nil {
		return nil, err
	}
	maps.Copy(built, worker)
	// The license of the font goes wherever the font goes.
	if built["assets/inter-license.txt"], err = os.ReadFile(filepath.Join(page, "src", "fonts", "inter-license.txt")); err != nil {
		return nil, err
	}
	for _, name := range slices.Collect(maps.Keys(built)) {
		if ext := path.Ext(name); ext == ".png" || ext == ".woff2" { // compressed as they are
			continue
		}
		if built[name+".br"], err = compress(built[name]); err != nil {
			return nil, fmt.Errorf("compress %s: %w", name, err)
		}
	}
	return built, nil
}

// sheetImport matches the import of a style sheet as a text: sheet:files.
var sheetImport = regexp.MustCompile(`^sheet:[a-z]+$`)

// sheetPlugin makes style sheets importable as texts, for parts of the page that are loaded when
// they are needed: the one of the page is for everybody.
func sheetPlugin(page string) api.Plugin {
	return api.Plugin{Name: "sheet", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: sheetImport.String()}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: strings.TrimPrefix(args.Path, "sheet:") + ".css", Namespace: "sheet"}, nil
		})
		b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "sheet"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			text, err := os.ReadFile(filepath.Join(page, "src", "style", args.Path))
			if err != nil {
				return api.OnLoadResult{}, err
			}
			small := api.Transform(string(text), api.TransformOptions{Loader: api.LoaderCSS, MinifyWhitespace: true, MinifySyntax: true, Target: api.ES2022})
			if len(small.Errors) > 0 {
				return api.OnLoadResult{Errors: small.Errors}, nil
			}
			sheet := string(small.Code)
			return api.OnLoadResult{Contents: &sheet, Loader: api.LoaderText}, nil
		})
	}}
}

func bundle(page string, options api.BuildOptions) (files, error) {
	options.Bundle = true
	options.MinifyWhitespace, options.MinifyIdentifiers, options.MinifySyntax = true, true, true
	options.Target = api.ES2022
	options.Format = api.FormatESModule
	options.LegalComments = api.LegalCommentsNone
	options.Loader = map[string]api.Loader{".svg": api.LoaderFile, ".png": api.LoaderFile, ".woff2": api.LoaderFile}
	options.AssetNames = "assets/[name]-[hash]"
	options.AbsWorkingDir = page
	options.Outdir = "dist"
	options.LogLevel = api.LogLevelWarning
	result := api.Build(options)
	if len(result.Errors) > 0 {
		return nil, errors.New("the source does not build")
	}
	built := make(files)
	for _, file := range result.OutputFiles {
		name, err := filepath.Rel(filepath.Join(page, "dist"), file.Path)
		if err != nil {
			return nil, err
		}
		built[filepath.ToSlash(name)] = file.Contents
	}
	return built, nil
}

// hashPart matches the hash in the name of an asset.
var hashPart = regexp.MustCompile(`-[A-Z0-9]{8}\.`)

// asset matches the name of an asset in a source, without its hash: {{app.js}}.
var asset = regexp.MustCompile(`\{\{([a-z0-9.-]+)\}\}`)

// chunkLink is the line of the HTML that preloads a chunk, and chunkImport an import of one by a script.
var (
	chunkLink   = regexp.MustCompile(`(?m)^.*\{\{chunk\.js\}\}.*\n`)
	chunkImport = regexp.MustCompile(`"\./(chunk-[A-Z0-9]{8}\.js)"`)
)

// preloadChunks repeats the line for each chunk that the page's script imports.
func preloadChunks(html, script []byte) []byte {
	return chunkLink.ReplaceAllFunc(html, func(line []byte) []byte {
		var lines []byte
		for _, found := range chunkImport.FindAllSubmatch(script, -1) {
			lines = append(lines, bytes.Replace(line, []byte("{{chunk.js}}"), []byte("assets/"+string(found[1])), 1)...)
		}
		return lines
	})
}

func fillIn(text []byte, hashed map[string]string) ([]byte, error) {
	var unknown []string
	filled := asset.ReplaceAllFunc(text, func(found []byte) []byte {
		plain := string(asset.FindSubmatch(found)[1])
		name, ok := hashed[plain]
		if !ok {
			unknown = append(unknown, plain)
		}
		return []byte(name) // relative: the page may be served below a path
	})
	if len(unknown) > 0 {
		return nil, fmt.Errorf("there is no %s", strings.Join(unknown, ", "))
	}
	return filled, nil
}

// shellOf returns a JavaScript array of the files that the service worker caches: those
// that the page needs without a network. The font is not among them: most machines
// have one of their own and never load it. Nor are the emoji, what shows files, what only admins use, and the
// texts of other languages than English, which are kept when they have been loaded.
func shellOf(built files) string {
	shell := []string{`"./"`, `"r/lobby"`} // the page as it is for a room, whichever it is
	for _, name := range slices.Sorted(maps.Keys(built)) {
		if strings.HasPrefix(name, "assets/texts.") || strings.HasPrefix(name, "assets/adminpanels-") || strings.HasPrefix(name, "assets/filepanels-") {
			continue
		}
		if ext := path.Ext(name); ext == ".js" || ext == ".css" || ext == ".svg" || ext == ".webmanifest" {
			shell = append(shell, strconv.Quote(name))
		}
	}
	return "[" + strings.Join(shell, ",") + "]"
}

// version identifies the build by the content of its files.
func version(built files) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(built)) {
		fmt.Fprintf(sum, "%s %d\n", name, len(built[name]))
		sum.Write(built[name])
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := brotli.NewWriterLevel(&out, brotli.BestCompression)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// write replaces the content of dist with the built files.
func write(dist string, built files) error {
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	for name, data := range built {
		to := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compare reports files in dist that differ from the built ones.
func compare(dist string, built files) error {
	var differ []string
	seen := make(map[string]bool)
	err := filepath.WalkDir(dist, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dist, at)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		seen[name] = true
		committed, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		if want, ok := built[name]; !ok || !bytes.Equal(committed, want) {
			differ = append(differ, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name := range built {
		if !seen[name] {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 {
		slices.Sort(differ)
		return fmt.Errorf("page/dist is not what the source gives: %s; run \"go generate ./internal/web\" and commit", strings.Join(differ, ", "))
	}
	return nil
}
