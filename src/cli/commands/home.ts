import { Command } from 'commander';
import { encryptHome, type AppConfig } from '../../app/index.ts';
import { Output, type OutputOptions } from '../output.ts';

export function homeCommand(config: AppConfig): Command {
  const encrypt = new Command('encrypt')
    .description(
      'encrypt the files of ESPALIER_HOME, or encrypt them anew with another key; no server may run meanwhile',
    )
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      const report = await encryptHome(config);
      new Output(options).result(report, `encrypted ${report.sealed} files with the key ${report.keyId}`);
    });
  return new Command('home')
    .description('the folder that holds everything')
    .addCommand(encrypt)
    .addHelpText(
      'after',
      `
The key is in ESPALIER_ENCRYPTION_KEY, or in the file that ESPALIER_ENCRYPTION_KEY_FILE names: 64 hexadecimal digits. To change it, set the new one,
a comma and the old one, run encrypt, and then drop the old one.

Examples:
  export ESPALIER_ENCRYPTION_KEY_FILE=/etc/espalier.key
  espalier home encrypt`,
    );
}
