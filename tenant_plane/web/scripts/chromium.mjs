// Unpacks @sparticuz/chromium into $TMPDIR and prints where its parts are, for the browser tests on machines
// without a browser. The caller sets TMPDIR to a directory of its own and AWS_EXECUTION_ENV to a Lambda
// runtime: the package unpacks its shared libraries (NSS and others) only where it believes to be in Lambda.
import { tmpdir } from "node:os";
import { join } from "node:path";
import chromium from "@sparticuz/chromium";

const executable = await chromium.executablePath();
process.stdout.write(
  JSON.stringify({
    executable,
    libraries: join(tmpdir(), "al2023", "lib"),
    fonts: join(tmpdir(), "fonts"),
  }),
);
